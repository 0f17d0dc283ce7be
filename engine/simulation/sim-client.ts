/**
 * An MQTT client that publishes for several devices, as clients do it: QoS 1 and 2 with a window, identifiers used again
 * once free, a new connection with the same client identifier after a lost one, and there first everything again that
 * was not acknowledged: PUBLISH with DUP, or PUBREL. It checks every answer when the gateway writes it: they come in the
 * order of its packets.
 */
import type { Prng } from '../../base/prng.ts'
import { AckFields, type AckType, readAck, writeAck } from '../../codecs/mqtt/ack.ts'
import { cutFrames, Frames } from '../../codecs/mqtt/frame.ts'
import { PacketType, type Qos, ReasonCode } from '../../codecs/mqtt/packet.ts'
import { publishHeader, publishSize, writePublish } from '../../codecs/mqtt/publish.ts'
import type { Books, Message } from './books.ts'
import type { SimDevice, SimHost } from './sim-device.ts'
import { SimSocket, type SocketOwner } from './sim-socket.ts'
import { SimulationError } from './simulation-error.ts'

const PACKET_SIZE_BYTES_MAX = 1 << 16
const NOTHING = new Uint8Array(0)

export interface ClientSettings {
  id: string
  version: 4 | 5
  /** Messages of QoS 1 and 2 that it leaves unacknowledged. */
  windowMax: number
  /** Identifiers go from 1 to this, and begin again. */
  packetIdMax: number
  /** It sends on before CONNACK has come. */
  isEager: boolean
  /** Of its messages that are not of QoS 0: how many are of QoS 2. */
  exactlyOnceShare: number
  devices: { name: string; stream: number }[]
}

interface InFlight {
  packetId: number
  message: Message
  /** Its PUBREC has come: from now on it is its PUBREL that is sent. */
  isReceived: boolean
}

interface Awaited {
  type: number
  packetId: number
  message: Message
}

export class SimClient implements SimDevice, SocketOwner {
  #settings: ClientSettings
  #books: Books
  #prng: Prng
  #socket: SimSocket | null = null
  #isOpen = false
  #isResent = false
  #inFlight: InFlight[] = []
  /** Of each connection: what was sent on it and not yet answered by the gateway, in that order. */
  #awaited: Awaited[] = []
  #lastPacketId = 0
  #fromGateway = new PacketCutter()

  constructor(settings: ClientSettings, books: Books, prng: Prng) {
    this.#settings = settings
    this.#books = books
    this.#prng = prng
  }

  get isIdle(): boolean {
    return this.#inFlight.length === 0
  }

  act(host: SimHost, mayPublish: boolean): void {
    if (this.#socket === null) {
      if (mayPublish || !this.isIdle) this.#connect(host)
      return
    }
    if (!this.#isOpen && !this.#settings.isEager) return
    this.#resend(host)
    if (mayPublish) for (let count = this.#prng.between(1, 6); count > 0; count--) this.#publish(host)
  }

  disturb(host: SimHost): void {
    const socket = this.#socket
    if (socket === null) return
    const dice = this.#prng.unit()
    if (dice < 0.2) socket.isStuck = true
    else if (dice < 0.3 && this.#isOpen) socket.send(Uint8Array.of(PacketType.PINGREQ << 4, 0))
    else if (dice < 0.4 && this.#isOpen) socket.send(Uint8Array.of(PacketType.DISCONNECT << 4, 0))
    else this.#drop(host, socket)
  }

  forgetEngine(): void {
    this.#socket = null
  }

  receive(socket: SimSocket, bytes: Uint8Array): void {
    if (socket !== this.#socket) return
    this.#fromGateway.take(bytes, (type, body) => this.#take(socket, type, body))
  }

  ended(socket: SimSocket): void {
    if (socket === this.#socket) this.#socket = null
  }

  #drop(host: SimHost, socket: SimSocket): void {
    host.trace.note(this.#settings.id, 'loses its connection')
    host.trace.tally('connection lost')
    this.#socket = null
    socket.cut(this.#prng)
  }

  #connect(host: SimHost): void {
    const awaited: Awaited[] = []
    const written = new PacketCutter()
    const socket = new SimSocket(this, (bytes) =>
      written.take(bytes, (type, body) => this.#check(host, awaited, type, body)),
    )
    if (!host.open(socket, this.#settings.id)) return
    this.#socket = socket
    this.#isOpen = false
    this.#isResent = false
    this.#awaited = awaited
    this.#fromGateway = new PacketCutter()
    const { id, version } = this.#settings
    socket.send(encodeConnect(id, version))
  }

  /** First of all on a new connection, in the old order ([MQTT-4.6.0-1]). */
  #resend(host: SimHost): void {
    if (this.#isResent) return
    this.#isResent = true
    for (const entry of this.#inFlight) {
      if (entry.isReceived) {
        host.trace.tally('released again')
        this.#release(this.#socket!, entry)
      } else this.#sendAcknowledged(host, entry, true)
    }
  }

  #publish(host: SimHost): void {
    const { devices, windowMax, exactlyOnceShare } = this.#settings
    const { name, stream } = devices[this.#prng.between(0, devices.length - 1)]
    if (this.#prng.unit() < 0.15) {
      this.#send(host, this.#books.write(name, stream, 0, host.nowMs), 0, false)
      return
    }
    if (this.#inFlight.length >= windowMax) return
    const qos: Qos = this.#prng.unit() < exactlyOnceShare ? 2 : 1
    const message = this.#books.write(name, stream, qos, host.nowMs)
    const entry = { packetId: this.#nextPacketId(), message, isReceived: false }
    this.#inFlight.push(entry)
    this.#sendAcknowledged(host, entry, false)
  }

  #sendAcknowledged(host: SimHost, { packetId, message }: InFlight, isDup: boolean): void {
    const type = message.qos === 1 ? PacketType.PUBACK : PacketType.PUBREC
    this.#awaited.push({ type, packetId, message })
    this.#send(host, message, packetId, isDup)
  }

  #release(socket: SimSocket, { packetId, message }: InFlight): void {
    this.#awaited.push({ type: PacketType.PUBCOMP, packetId, message })
    const bytes = new Uint8Array(4)
    writeAck(bytes, 0, PacketType.PUBREL, packetId, 0, this.#settings.version)
    socket.send(bytes)
  }

  #send(host: SimHost, { number, topic, qos, payload }: Message, packetId: number, isDup: boolean): void {
    host.trace.note(this.#settings.id, 'sends message', number, isDup ? 'again as' : 'as', packetId)
    const { version } = this.#settings
    const name = Buffer.from(topic)
    const bytes = new Uint8Array(publishSize(version, qos, name.length, 0, payload.length))
    const header = publishHeader(qos, isDup, false)
    writePublish(
      bytes,
      0,
      version,
      header,
      packetId,
      name,
      0,
      name.length,
      NOTHING,
      0,
      0,
      payload,
      0,
      payload.length,
    )
    this.#socket?.send(bytes)
  }

  #nextPacketId(): number {
    const { packetIdMax } = this.#settings
    do this.#lastPacketId = (this.#lastPacketId % packetIdMax) + 1
    while (this.#inFlight.some(({ packetId }) => packetId === this.#lastPacketId))
    return this.#lastPacketId
  }

  /** The gateway has written a packet, whether or not it arrives. */
  #check(host: SimHost, awaited: Awaited[], type: number, body: Uint8Array): void {
    const { id } = this.#settings
    if (type === PacketType.DISCONNECT && !GENTLE_REASONS.has(body[0]))
      throw new SimulationError(`${id} was disconnected with reason ${body[0]}`)
    if (!isAnswer(type)) return
    const packetId = readAnswer(type, body, this.#settings.version)
    const entry = awaited.shift()
    if (entry?.packetId !== packetId || entry.type !== type)
      throw new SimulationError(`${id} got ${type}:${packetId} instead of ${entry?.type}:${entry?.packetId}`)
    if (type === PacketType.PUBCOMP) return
    entry.message.isAcknowledged = true
    host.trace.note(id, 'is told of message', entry.message.number, 'as', packetId)
  }

  #take(socket: SimSocket, type: number, body: Uint8Array): void {
    if (type === PacketType.CONNACK) this.#isOpen = body[1] === 0
    if (!isAnswer(type)) return
    const packetId = readAnswer(type, body, this.#settings.version)
    const place = this.#inFlight.findIndex((entry) => entry.packetId === packetId)
    if (place < 0) throw new SimulationError(`answer ${type}:${packetId} to nothing that is in flight`)
    if (type === PacketType.PUBREC) {
      this.#inFlight[place].isReceived = true
      this.#release(socket, this.#inFlight[place])
    } else this.#inFlight.splice(place, 1)
  }
}

const GENTLE_REASONS = new Set<number>([
  ReasonCode.SERVER_SHUTTING_DOWN,
  ReasonCode.SERVER_BUSY,
  ReasonCode.SESSION_TAKEN_OVER,
])

/** Whole packets out of a stream of bytes. */
class PacketCutter {
  #frames = new Frames(64)
  #held: Uint8Array = NOTHING

  take(bytes: Uint8Array, handle: (type: number, body: Uint8Array) => void): void {
    const all = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes])
    const frames = this.#frames
    let offset = 0
    do {
      offset = cutFrames(all, offset, all.length, PACKET_SIZE_BYTES_MAX, frames)
      if (frames.fault !== 0) throw new SimulationError('a gateway has written what is no packet')
      for (let i = 0; i < frames.count; i++)
        handle(frames.header[i] >> 4, all.subarray(frames.bodyStart[i], frames.bodyEnd[i]))
    } while (frames.count === frames.capacity)
    this.#held = all.slice(offset)
  }
}

const fields = new AckFields()

function isAnswer(type: number): type is AckType {
  return type >= PacketType.PUBACK && type <= PacketType.PUBCOMP
}

function readAnswer(type: AckType, body: Uint8Array, version: 4 | 5): number {
  const fault = readAck(body, 0, body.length, version, fields, type)
  // A release that is sent again may be of what the gateway has never heard of.
  const isUnknown =
    type === PacketType.PUBCOMP && fields.reasonCode === ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
  if (fault !== 0 || (fields.reasonCode !== 0 && !isUnknown))
    throw new SimulationError(`an answer of type ${type} that says no, or nothing`)
  return fields.packetId
}

/** No keep-alive, no session kept. */
function encodeConnect(clientId: string, version: 4 | 5): Uint8Array {
  const id = Buffer.from(clientId)
  const head = [0, 4, ...Buffer.from('MQTT'), version, 2, 0, 0, ...(version === 5 ? [0] : [])]
  return Uint8Array.from([PacketType.CONNECT << 4, head.length + 2 + id.length, ...head, 0, id.length, ...id])
}
