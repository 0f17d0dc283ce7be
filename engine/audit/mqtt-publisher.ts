/**
 * Publishes at QoS 1 over one MQTT 5.0 connection, with a bounded window, for the command line: rare and small, so
 * packets go through mqtt-packet. Owned by the command's main thread. Every publish settles: with the PUBACK's reason
 * code, or with the fault that ended the connection.
 */
import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { generate, type IConnackPacket, type Packet, parser } from 'mqtt-packet'
import { type Address, formatAddress } from '../address.ts'

/** The peer is away, refuses, or breaks the protocol; one line. */
export class PublishError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'PublishError'
  }
}

export interface PublisherSettings {
  address: Address
  /** Publishes without an answer; the peer's Receive Maximum may make it less. */
  windowMax: number
  /** The longest silence while something waits for an answer. */
  timeoutMs: number
  /** None for an anonymous client. */
  login?: Login
}

export interface Login {
  username: string
  password: Buffer
}

const OPTIONS = { protocolVersion: 5 } as const
const PACKET_OVERHEAD_SIZE_BYTES = 16

interface Waiting {
  resolve(reasonCode: number): void
  reject(error: PublishError): void
}

export class MqttPublisher {
  /** The largest packet the peer takes. */
  packetSizeBytesMax = Number.POSITIVE_INFINITY
  #name: string
  #timeoutMs: number
  #windowMax: number
  #socket: Socket
  #waiting = new Map<number, Waiting>()
  #freeIds: number[] = []
  #lastId = 0
  #rooms: (() => void)[] = []
  #fault: PublishError | null = null
  #onConnack: ((packet: IConnackPacket) => void) | null = null
  #onFault: ((error: PublishError) => void) | null = null

  private constructor({ address, windowMax, timeoutMs }: PublisherSettings) {
    this.#name = formatAddress(address)
    this.#timeoutMs = timeoutMs
    this.#windowMax = windowMax
    this.#socket = connect({ host: address.host, port: address.port, noDelay: true })
    const reader = parser(OPTIONS)
    reader.on('packet', (packet) => this.#take(packet))
    reader.on('error', (error: Error) => this.#fail(`${this.#name} sent no MQTT: ${error.message}`, error))
    this.#socket.on('data', (chunk) => reader.parse(chunk))
    this.#socket.on('error', (error: NodeJS.ErrnoException) =>
      this.#fail(`MQTT at ${this.#name} can't be reached (${error.code ?? error.message})`, error),
    )
    this.#socket.on('close', () => this.#fail(`${this.#name} closed the connection`))
    this.#socket.setTimeout(timeoutMs, () => {
      if (this.#waiting.size > 0 || this.#onConnack !== null)
        this.#fail(`${this.#name} gave no answer for ${timeoutMs / 1000} s`)
    })
  }

  /** Resolves when the peer has accepted the connection. Throws PublishError. */
  static async connect(settings: PublisherSettings): Promise<MqttPublisher> {
    const publisher = new MqttPublisher(settings)
    const { properties, reasonCode } = await publisher.#handshake(settings.login)
    if (reasonCode !== 0) {
      publisher.#socket.destroy()
      throw new PublishError(`${publisher.#name} refuses the connection (reason code ${reasonCode})`)
    }
    publisher.#windowMax = Math.min(settings.windowMax, properties?.receiveMaximum ?? 65_535)
    publisher.packetSizeBytesMax = properties?.maximumPacketSize ?? Number.POSITIVE_INFINITY
    return publisher
  }

  /** Whether the peer takes a packet with this topic and payload. */
  isWithinPeersBound(topic: string, payload: Uint8Array): boolean {
    return Buffer.byteLength(topic) + payload.length + PACKET_OVERHEAD_SIZE_BYTES <= this.packetSizeBytesMax
  }

  /** Waits for room in the window, then for the PUBACK; gives its reason code. Throws PublishError. */
  async publish(topic: string, payload: Uint8Array): Promise<number> {
    while (this.#waiting.size >= this.#windowMax && this.#fault === null) {
      await new Promise<void>((resolve) => this.#rooms.push(resolve))
    }
    if (this.#fault !== null) throw this.#fault
    const messageId = this.#freeIds.pop() ?? ++this.#lastId
    const publish = { cmd: 'publish', topic, payload: Buffer.from(payload), messageId } as const
    const acknowledged = new Promise<number>((resolve, reject) => {
      this.#waiting.set(messageId, { resolve, reject })
    })
    this.#socket.write(generate({ ...publish, qos: 1, dup: false, retain: false }, OPTIONS))
    return acknowledged
  }

  async close(): Promise<void> {
    if (this.#fault !== null) return
    this.#fault = new PublishError('the connection is closed')
    const closed = new Promise((resolve) => this.#socket.once('close', resolve))
    this.#socket.end(generate({ cmd: 'disconnect', reasonCode: 0 }, OPTIONS))
    const timer = setTimeout(() => this.#socket.destroy(), Math.min(1000, this.#timeoutMs))
    await closed
    clearTimeout(timer)
  }

  async #handshake(login?: Login): Promise<IConnackPacket> {
    const clientId = `millrace-replay-${randomBytes(6).toString('hex')}`
    const answer = new Promise<IConnackPacket>((resolve, reject) => {
      this.#onConnack = resolve
      this.#onFault = reject
    })
    const connect = { cmd: 'connect', clientId, clean: true, keepalive: 0, ...login, ...OPTIONS } as const
    this.#socket.write(generate(connect, OPTIONS))
    return answer
  }

  #take(packet: Packet): void {
    if (packet.cmd === 'connack' && this.#onConnack !== null) {
      this.#onConnack(packet)
      this.#onConnack = null
    } else if (packet.cmd === 'puback') this.#settle(packet.messageId ?? 0, packet.reasonCode ?? 0)
    else if (packet.cmd === 'disconnect')
      this.#fail(`${this.#name} ended the connection (reason code ${packet.reasonCode})`)
  }

  #settle(id: number, reasonCode: number): void {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) {
      this.#fail(`${this.#name} acknowledged what was not sent`)
      return
    }
    this.#waiting.delete(id)
    this.#freeIds.push(id)
    waiting.resolve(reasonCode)
    this.#rooms.shift()?.()
  }

  #fail(message: string, cause?: unknown): void {
    if (this.#fault !== null) return
    this.#fault = new PublishError(message, cause)
    this.#socket.destroy()
    this.#onFault?.(this.#fault)
    for (const { reject } of this.#waiting.values()) reject(this.#fault)
    this.#waiting.clear()
    for (const room of this.#rooms.splice(0)) room()
  }
}
