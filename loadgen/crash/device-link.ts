/**
 * One device connection of the crash harness. Unlike a load publisher it sends again with DUP also when the server says
 * that it has no session: that is what common client libraries do after a broken connection, and what Millrace promises
 * to count once. Invariant: a message is acknowledged for good once the window says so; everything from `answered` to
 * `next` that is still open is written again on each new connection, before anything new.
 */
import { generate } from 'mqtt-packet'
import { AckReader, type ConnackReply } from '../ack-reader.ts'
import type { FleetCounters } from '../fleet-options.ts'
import { createWriteBuffer, MessageFiller } from '../message-filler.ts'
import type { PublishFormat, PublishTemplate } from '../publish-template.ts'
import { PublishWindow } from '../publish-window.ts'
import { deviceName, SEQ_BASE, type TelemetryPlan } from '../telemetry.ts'
import { type Address, Transport, type WebSocketPath } from '../transport.ts'
import { FRAME_HEAD_SIZE_BYTES_MAX } from '../websocket-client.ts'

const KEEP_ALIVE_S = 300
const SESSION_EXPIRY_S = 3600
/** How long a connection that its device has left stays open. */
const ABANDONED_MS = 500
const RETRY_MS = 40
const RETRY_SPREAD_MS = 60

/** How a device sends again what was not acknowledged: as the same message, or as a new one. */
export type Redelivery = 'dup' | 'anew'

/** What the links of a group share. */
export interface LinkContext {
  readonly plan: TelemetryPlan
  readonly format: PublishFormat
  readonly template: PublishTemplate
  readonly address: Address
  readonly counters: FleetCounters
  /** For connections opened from now on. */
  readonly redelivery: Redelivery
  note(reason: string): void
}

export class DeviceLink {
  readonly connection: number
  readonly window: PublishWindow
  isOpen = false
  /** Why the last connection ended. */
  fault = ''
  readonly #group: LinkContext
  readonly #filler: MessageFiller
  #transport: Transport | null = null
  #acks: AckReader | null = null
  #ackText = ''
  #retryTimer: NodeJS.Timeout | null = null
  #isClosed = false
  /** A new one on the plain WebSocket door makes what is sent again a new message. */
  #session = 0
  #hasConnected = false
  /** Of this connection: what is sent again carries DUP (or the session of before). */
  #isDup = true

  constructor(group: LinkContext, connection: number, window: number) {
    this.#group = group
    this.connection = connection
    this.window = new PublishWindow(window, group.counters, () => {})
    this.#filler = new MessageFiller(group.template, connection)
  }

  connect(): void {
    const { address, redelivery, format } = this.#group
    this.#isDup = redelivery === 'dup'
    if (!this.#isDup && this.#hasConnected) this.#session++
    this.#ackText = ''
    this.#acks = format.door === 'ws' ? null : this.#createAckReader()
    // A connection that the device has left says nothing to it any more.
    const ifCurrent = (act: () => void): void => {
      if (this.#transport === transport) act()
    }
    const transport = new Transport(address, this.#webSocketPath(), {
      onOpen: () => ifCurrent(() => this.#onOpen()),
      onData: (bytes, start, end) => ifCurrent(() => this.#onData(bytes, start, end)),
      onMessageEnd: () => ifCurrent(() => this.#onMessageEnd()),
      onClose: (fault) => ifCurrent(() => this.#onClose(fault)),
    })
    this.#transport = transport
  }

  /** Writes at most `count` new messages and returns how many there was room for. */
  publish(count: number): number {
    if (!this.isOpen) return 0
    const room = Math.min(count, this.window.size - this.window.inFlight)
    if (room <= 0) return 0
    const buffer = createWriteBuffer(this.#group.template, room)
    this.#filler.fill(buffer, this.window, room)
    this.window.send(room, 0)
    this.#group.counters.sent += room
    this.#write(buffer, room)
    return room
  }

  /** Opens a new connection while the old one stands and what was written to it may be on its way. */
  move(): void {
    const old = this.#transport
    if (old === null || !this.isOpen) return
    this.#group.counters.connectionsLost++
    this.isOpen = false
    setTimeout(() => old.destroy(), ABANDONED_MS).unref()
    this.connect()
  }

  /** Breaks the connection; it comes back by itself. */
  cut(): void {
    this.#transport?.destroy('cut by the harness')
  }

  close(): void {
    this.#isClosed = true
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer)
    this.#transport?.destroy()
  }

  #write(buffer: Buffer, count: number): void {
    const end = FRAME_HEAD_SIZE_BYTES_MAX + count * this.#group.template.sizeBytes
    this.#transport?.write(buffer.subarray(FRAME_HEAD_SIZE_BYTES_MAX, end), () => {})
  }

  /** All that has no answer, oldest first, in one write. */
  #publishAgain(): void {
    const { window } = this
    if (window.inFlight === 0) return
    const buffer = createWriteBuffer(this.#group.template, window.inFlight)
    let count = 0
    for (let message = window.answered; message < window.next; message++) {
      if (window.isOpen(message)) this.#filler.fillOne(buffer, count++, window, message, this.#isDup)
    }
    if (!this.#isDup) window.noteRepublished()
    this.#group.counters.resent += count
    this.#write(buffer, count)
  }

  #webSocketPath(): WebSocketPath | null {
    const { format, plan } = this.#group
    if (format.door !== 'ws') return null
    const session = `${plan.prefix}s${this.#session}`
    return { path: `/ingest/${deviceName(plan, this.connection)}?session=${session}`, subprotocol: null }
  }

  #createAckReader(): AckReader {
    return new AckReader(
      {
        onConnack: (connack) => this.#onConnack(connack),
        onPuback: (packetId, reason) => {
          if (reason >= 0x80) this.#group.note(`PUBACK ${reason}`)
          this.window.acknowledge(packetId, reason)
        },
        onPingresp: () => {},
        onDisconnect: (reason) => this.#transport?.destroy(`DISCONNECT ${reason}`),
      },
      this.#group.format.protocol,
    )
  }

  #onOpen(): void {
    const { format, plan } = this.#group
    if (format.door === 'ws') {
      this.#start()
      return
    }
    const properties = format.protocol === 5 ? { sessionExpiryInterval: SESSION_EXPIRY_S } : undefined
    const clientId = `${plan.prefix}c${this.connection}`
    const common = { cmd: 'connect', protocolId: 'MQTT', keepalive: KEEP_ALIVE_S, clean: false } as const
    this.#transport?.send(generate({ ...common, protocolVersion: format.protocol, clientId, properties }))
  }

  #onConnack({ reason, receiveMaximum }: ConnackReply): void {
    if (reason === 0 && receiveMaximum >= this.window.size) this.#start()
    else this.#transport?.destroy(`CONNACK ${reason}, receive maximum ${receiveMaximum}`)
  }

  #start(): void {
    this.isOpen = true
    this.fault = ''
    this.#hasConnected = true
    this.#publishAgain()
  }

  #onData(bytes: Uint8Array, start: number, end: number): void {
    if (this.#acks === null) {
      this.#ackText += Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1')
    } else if (!this.#acks.read(bytes, start, end)) {
      this.#transport?.destroy('a malformed MQTT packet')
    }
  }

  #onMessageEnd(): void {
    if (this.#acks !== null) return
    const acknowledged = /^\{"ack":(\d+)\}$/.exec(this.#ackText)
    if (acknowledged === null) this.#group.note(`answer ${this.#ackText.slice(0, 100)}`)
    else this.window.acknowledgeBefore(Number(acknowledged[1]) - SEQ_BASE + 1)
    this.#ackText = ''
  }

  #onClose(fault: string | null): void {
    if (this.isOpen) this.#group.counters.connectionsLost++
    this.isOpen = false
    this.#transport = null
    this.fault = fault ?? 'closed'
    if (this.#isClosed) return
    this.#group.note(this.fault)
    this.#retryTimer = setTimeout(() => this.connect(), RETRY_MS + ((this.connection * 17) % RETRY_SPREAD_MS))
  }
}
