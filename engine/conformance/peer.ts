/**
 * For tests: a client that says what it is told to, byte for byte, and shows every packet that it gets. mqtt-packet writes and reads
 * for it, not our own codec.
 */
import { once } from 'node:events'
import { connect as connectSocket, type Socket } from 'node:net'
import { generate, type IConnectPacket, type Packet, parser } from 'mqtt-packet'
import { expect } from 'vitest'
import { PATIENCE_MS } from '../engine-process.ts'

export type Version = 4 | 5
/** What came, as mqtt-packet reads it. */
export type Received = Packet & {
  topic?: string
  payload?: Buffer | string
  qos?: number
  dup?: boolean
  retain?: boolean
  messageId?: number
  returnCode?: number
  reasonCode?: number
  sessionPresent?: boolean
  granted?: number[]
  properties?: Record<string, unknown>
}

export type ConnectOptions = Partial<Omit<IConnectPacket, 'cmd'>>

let clientCount = 0

/** An identifier that no other client of these tests has. */
export function freshName(what = 'client'): string {
  return `${what}-${process.pid}-${++clientCount}`
}

export class Peer {
  readonly clientId: string
  readonly version: Version
  /** As the server accepted it; null before. */
  connack: Received | null = null
  #socket: Socket
  #received: Received[] = []
  #isEnded = false
  /** Identifiers of messages whose PUBREL is to be answered. */
  #awaited = new Set<number | undefined>()
  #wake: () => void = () => {}

  private constructor(socket: Socket, version: Version, clientId: string) {
    this.clientId = clientId
    this.version = version
    this.#socket = socket
    const packets = parser({ protocolVersion: version })
    packets.on('packet', (packet) => this.#take(packet as Received))
    socket.on('data', (bytes) => packets.parse(bytes))
    socket.on('error', () => {}) // the server may close at any time, that is what is tested
    socket.once('close', () => {
      this.#isEnded = true
      this.#wake()
    })
  }

  /** A connection without a word. */
  static async open(address: string, version: Version, clientId = freshName()): Promise<Peer> {
    const [host, port] = address.split(':')
    const socket = connectSocket(Number(port), host)
    await once(socket, 'connect')
    socket.setNoDelay(true)
    return new Peer(socket, version, clientId)
  }

  /** A connection whose CONNECT was accepted. Clean, unless told otherwise. */
  static async connect(address: string, version: Version, options: ConnectOptions = {}): Promise<Peer> {
    const peer = await Peer.open(address, version, options.clientId)
    peer.sendConnect(options)
    peer.connack = await peer.next('connack')
    expect(peer.connack.returnCode ?? peer.connack.reasonCode).toBe(0)
    return peer
  }

  sendConnect(options: ConnectOptions = {}): void {
    const { clientId, version } = this
    this.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: version,
      clean: true,
      keepalive: 0,
      clientId,
      ...options,
    } as Packet)
  }

  send(packet: Packet): void {
    this.write(generate(packet, { protocolVersion: this.version }))
  }

  write(bytes: Uint8Array | readonly number[]): void {
    this.#socket.write(bytes instanceof Uint8Array ? bytes : Buffer.from(bytes))
  }

  /** The next packet, which must be of that kind. */
  async next(cmd: string): Promise<Received> {
    const packet = await this.anything()
    expect(packet?.cmd ?? 'the end of the connection').toBe(cmd)
    return packet as Received
  }

  /** The next packet; null when the connection has ended. */
  async anything(): Promise<Received | null> {
    const giveUpMs = performance.now() + PATIENCE_MS
    while (this.#received.length === 0 && !this.#isEnded) {
      const waitMs = giveUpMs - performance.now()
      if (waitMs <= 0) throw new Error(`${this.clientId} waited ${PATIENCE_MS} ms for a packet`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, waitMs)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    return this.#received.shift() ?? null
  }

  /** Everything up to the end of the connection, which comes. */
  async ended(): Promise<Received[]> {
    const packets: Received[] = []
    for (let packet = await this.anything(); packet !== null; packet = await this.anything())
      packets.push(packet)
    return packets
  }

  /** What had arrived when the server answered a PINGREQ. */
  async untilPing(): Promise<Received[]> {
    const packets: Received[] = []
    this.send({ cmd: 'pingreq' })
    for (;;) {
      const packet = await this.anything()
      if (packet === null) throw new Error(`${this.clientId} was closed`)
      if (packet.cmd === 'pingresp') return packets
      packets.push(packet)
    }
  }

  /** Subscribes, and returns the SUBACK's codes. Messages that come before it, retained ones, are for `next`. */
  async subscribe(
    topic: string,
    qos: 0 | 1 | 2,
    options: object = {},
    properties: object = {},
  ): Promise<number[]> {
    const messageId = this.nextId()
    this.send({
      cmd: 'subscribe',
      messageId,
      properties,
      subscriptions: [{ topic, qos, ...options }],
    } as Packet)
    const suback = await this.next('suback')
    expect(suback.messageId).toBe(messageId)
    return suback.granted as number[]
  }

  /** Publishes and goes through the acknowledgements. */
  async publish(
    topic: string,
    payload: string | Buffer,
    qos: 0 | 1 | 2 = 0,
    options: { messageId?: number; dup?: boolean; retain?: boolean; properties?: object } = {},
  ): Promise<void> {
    const { messageId = qos === 0 ? undefined : this.nextId(), ...others } = options
    this.send({
      cmd: 'publish',
      topic,
      payload,
      qos,
      messageId,
      dup: false,
      retain: false,
      ...others,
    } as Packet)
    if (qos === 1) expect((await this.next('puback')).messageId).toBe(messageId)
    if (qos === 2) {
      expect((await this.next('pubrec')).messageId).toBe(messageId)
      this.send({ cmd: 'pubrel', messageId } as Packet)
      expect((await this.next('pubcomp')).messageId).toBe(messageId)
    }
    if (qos === 0) await this.untilPing()
  }

  /** The next message, acknowledged as its QoS says; a PUBREL that follows is answered when it comes. */
  async message(): Promise<Received> {
    const message = await this.next('publish')
    const { messageId, qos } = message
    if (qos === 1) this.send({ cmd: 'puback', messageId } as Packet)
    if (qos === 2) {
      this.#awaited.add(messageId)
      this.send({ cmd: 'pubrec', messageId } as Packet)
    }
    return message
  }

  /** The payload of the next message. */
  async payload(): Promise<string> {
    return String((await this.message()).payload)
  }

  nextId(): number {
    this.#lastId = (this.#lastId % 0xffff) + 1
    return this.#lastId
  }
  #lastId = 0

  /** Goes in peace. */
  async disconnect(options: object = {}): Promise<void> {
    this.send({ cmd: 'disconnect', ...options } as Packet)
    this.#socket.end()
    await this.ended()
  }

  /** Goes without a word. */
  async drop(): Promise<void> {
    this.#socket.destroy()
    while (!this.#isEnded) await new Promise((resolve) => setImmediate(resolve))
  }

  #take(packet: Received): void {
    const { cmd, messageId } = packet
    if (cmd === 'pubrel' && this.#awaited.delete(messageId)) {
      this.send({ cmd: 'pubcomp', messageId } as Packet)
      return
    }
    this.#received.push(packet)
    this.#wake()
  }
}
