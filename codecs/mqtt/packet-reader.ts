/**
 * Reads the bodies of rare packets front to back. Every read is checked against the body's end; what is wrong
 * is thrown as an MqttError with the reason code to answer.
 */
import { MqttError, ReasonCode } from './packet.ts'
import { PropertyScan, scanProperties, u16At } from './properties.ts'
import { decodeProperties, type Properties } from './property-objects.ts'
import { copyOf, decodeText, isTextValid } from './text.ts'
import { readVarint, varintSize } from './varint.ts'

const scan = new PropertyScan()

export class PacketReader {
  readonly bytes: Uint8Array
  offset: number
  readonly end: number
  /** The packet's name, for messages. */
  readonly name: string

  constructor(name: string, bytes: Uint8Array, start: number, end: number) {
    this.name = name
    this.bytes = bytes
    this.offset = start
    this.end = end
  }

  get left(): number {
    return this.end - this.offset
  }

  u8(what: string): number {
    return this.bytes[this.#advance(1, what)]
  }

  u16(what: string): number {
    return u16At(this.bytes, this.#advance(2, what))
  }

  packetId(): number {
    const packetId = this.u16('packet identifier')
    if (packetId === 0) this.fail(ReasonCode.PROTOCOL_ERROR, 'has packet identifier 0')
    return packetId
  }

  text(what: string): string {
    const size = this.u16(what)
    const start = this.#advance(size, what)
    if (!isTextValid(this.bytes, start, this.offset)) this.malformed(`has a ${what} that is not UTF-8 text`)
    return decodeText(this.bytes, start, this.offset)
  }

  /** A copy, as the packet's bytes are overwritten later. */
  binary(what: string): Uint8Array {
    const size = this.u16(what)
    const start = this.#advance(size, what)
    return copyOf(this.bytes, start, this.offset)
  }

  /** The properties with the length before them. */
  properties(place: number): Properties {
    const size = readVarint(this.bytes, this.offset, this.end)
    if (size < 0) this.malformed('has a bad property length')
    this.offset += varintSize(size)
    const start = this.#advance(size, 'properties')
    const fault = scanProperties(this.bytes, start, this.offset, place, scan)
    if (fault !== 0) this.fail(fault, 'has properties that it must not have')
    return decodeProperties(this.bytes, start, this.offset)
  }

  /** States that nothing is left. */
  finish(): void {
    if (this.left !== 0) this.malformed(`has ${this.left} bytes too many`)
  }

  malformed(message: string): never {
    return this.fail(ReasonCode.MALFORMED_PACKET, message)
  }

  fail(reasonCode: number, message: string): never {
    throw new MqttError(reasonCode, `${this.name} ${message}`)
  }

  #advance(sizeBytes: number, what: string): number {
    if (this.left < sizeBytes) this.malformed(`ends inside its ${what}`)
    const start = this.offset
    this.offset += sizeBytes
    return start
  }
}
