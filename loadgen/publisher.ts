/**
 * One publishing connection: connects, fills write buffers with patched messages, takes acknowledgements, and
 * comes back after a lost connection. Owned by one fleet, on its thread.
 *
 * After a reconnect whatever had no answer is sent again, oldest first, with the same packet ids. Is the MQTT
 * session still there (`keepSession`, Session Present), that is a redelivery and carries DUP [MQTT-3.3.1-1];
 * otherwise the server has forgotten the session and each is a new PUBLISH without DUP, which the server may
 * rightly store a second time. On the plain WebSocket door the session and `seq` in the frame say that it is
 * the same message.
 */
import { generate } from 'mqtt-packet'
import { AckReader, type ConnackReply } from './ack-reader.ts'
import type { FleetCounters, FleetOptions } from './fleet-options.ts'
import { createWriteBuffer, MessageFiller } from './message-filler.ts'
import type { PublishTemplate } from './publish-template.ts'
import { PublishWindow } from './publish-window.ts'
import { deviceName, SEQ_BASE } from './telemetry.ts'
import { Transport, type WebSocketPath } from './transport.ts'
import { FRAME_HEAD_SIZE_BYTES_MAX, frameHeadSize, WsOpcode, writeFrameHead } from './websocket-client.ts'

const KEEP_ALIVE_S = 60
const SESSION_EXPIRY_S = 3600
const BACKOFF_MS_MIN = 50
const BACKOFF_MS_MAX = 2_000
const PINGREQ = generate({ cmd: 'pingreq' })
const KEEP_ALIVE_PING_MS = 20_000

/** What publishers of a thread share. */
export interface PublisherContext {
  options: FleetOptions
  template: PublishTemplate
  counters: FleetCounters
  /** Free write buffers, each filled with copies of the template after room for a frame head. */
  buffers: Buffer[]
  nowMs(): number
  /** The server has said something: the clock, read once per read. */
  onRead(): number
  onReason(reason: string): void
  onLatency(latencyMs: number, count: number): void
  /** The publisher may be able to send more, or has changed its state. */
  onReady(publisher: Publisher): void
}

export const PublisherState = { connecting: 0, open: 1, waiting: 2, closed: 3 } as const
export type PublisherState = (typeof PublisherState)[keyof typeof PublisherState]

export class Publisher {
  readonly connection: number
  readonly window: PublishWindow
  state: PublisherState = PublisherState.closed
  /** No message from here on is sent. */
  limit: number
  isQueued = false
  /** The server has answered the PINGREQ that ends a QoS 0 run. */
  isFlushed = false
  /** Why the last attempt to connect failed. */
  fault = ''
  readonly #context: PublisherContext
  readonly #filler: MessageFiller
  #transport: Transport | null = null
  #acks: AckReader | null = null
  #buffer: Buffer | null = null
  #windowLimit: number
  /**
   * Messages before this one that are unanswered are to be sent (again) on this connection, from `#again`.
   */
  #again = 0
  #isRedelivery = false
  #failures = 0
  #retryTimer: NodeJS.Timeout | null = null
  #ackText = ''
  #onWritten: () => void = () => {}
  #lastWriteMs = 0
  #pingsUnanswered = 0
  #isFlushAsked = false
  #lostAtMs = 0

  constructor(context: PublisherContext, connection: number, limit: number) {
    const { options } = context
    this.#context = context
    this.connection = connection
    this.limit = limit
    this.#filler = new MessageFiller(context.template, connection)
    this.#lostAtMs = context.nowMs()
    this.window = new PublishWindow(options.window, context.counters, context.onLatency)
    this.#windowLimit = options.window
  }

  get isAnswering(): boolean {
    const { format } = this.#context.options
    return format.qos === 1 || format.door === 'ws'
  }

  /** Everything up to the limit is sent and, where the door answers, answered. */
  get isDone(): boolean {
    if (this.state === PublisherState.closed) return true
    if (this.window.next < this.limit) return false
    return this.isAnswering ? this.window.inFlight === 0 : this.isFlushed
  }

  connect(): void {
    this.state = PublisherState.connecting
    const { address } = this.#context.options
    const transport = new Transport(address, this.#webSocketPath(), {
      onOpen: () => this.#onOpen(),
      onData: (bytes, start, end) => this.#onData(bytes, start, end),
      onMessageEnd: () => this.#onMessageEnd(),
      onClose: (fault) => this.#onClose(fault),
    })
    this.#transport = transport
    this.#onWritten = () => {
      if (this.#buffer === null || this.#transport !== transport) return
      this.#context.buffers.push(this.#buffer)
      this.#buffer = null
      this.#context.onReady(this)
    }
  }

  /** How many messages one write could carry now; 0 when it has to wait. */
  // hot: per write
  get writable(): number {
    if (this.state !== PublisherState.open || this.#buffer !== null) return 0
    const { window } = this
    const perWrite = this.#context.options.perWrite
    if (this.#again < window.next && this.isAnswering) return Math.min(perWrite, window.next - this.#again)
    const left = Math.min(perWrite, this.limit - window.next)
    if (!this.isAnswering) return left
    const room = this.#windowLimit - window.inFlight
    return room >= Math.min(left, this.#windowLimit) ? Math.min(left, room) : 0
  }

  /** Writes `count` messages, at most `writable`. Returns how many of them were new. */
  // hot: per write
  write(count: number, dueMs: number, nowMs: number): number {
    const transport = this.#transport
    if (transport === null) return 0
    const { buffers, template, options } = this.#context
    const buffer = buffers.pop() ?? createWriteBuffer(template, options.perWrite)
    const isAgain = this.#again < this.window.next && this.isAnswering
    const filled = isAgain ? this.#fillAgain(buffer, count) : this.#filler.fill(buffer, this.window, count)
    const sizeBytes = filled * template.sizeBytes
    let start = FRAME_HEAD_SIZE_BYTES_MAX
    if (options.format.door === 'mqtt-ws') {
      start -= frameHeadSize(sizeBytes)
      writeFrameHead(buffer, start, WsOpcode.binary, sizeBytes)
    }
    if (!isAgain) {
      if (this.isAnswering) this.window.send(filled, dueMs)
      else this.window.next += filled
      this.#again = this.window.next
    }
    this.#buffer = buffer
    this.#lastWriteMs = nowMs
    const end = FRAME_HEAD_SIZE_BYTES_MAX + sizeBytes
    if (transport.write(buffer.subarray(start, end), this.#onWritten)) {
      buffers.push(buffer)
      this.#buffer = null
    }
    return isAgain ? 0 : filled
  }

  /** Once everything is written: asks for the answer that shows that the server has read it (QoS 0). */
  flush(): void {
    if (this.#isFlushAsked || this.state !== PublisherState.open || this.window.next < this.limit) return
    this.#isFlushAsked = true
    this.#ping()
  }

  /** To be called every second or so. */
  keepAlive(nowMs: number): void {
    const isDue = this.state === PublisherState.open && nowMs - this.#lastWriteMs > KEEP_ALIVE_PING_MS
    if (!isDue || this.#context.options.format.door === 'ws') return
    this.#lastWriteMs = nowMs
    this.#ping()
  }

  /** Ends the connection for good, politely when it is open. */
  close(): void {
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer)
    const { door, protocol } = this.#context.options.format
    if (this.state === PublisherState.open && this.#transport !== null) {
      if (door !== 'ws') this.#transport.send(generate({ cmd: 'disconnect' }, { protocolVersion: protocol }))
      this.#transport.end()
    } else {
      this.#transport?.destroy()
    }
    this.#leaveOpen()
    this.state = PublisherState.closed
  }

  /** Fills in messages from `#again` on that have no answer yet. */
  #fillAgain(buffer: Buffer, count: number): number {
    let filled = 0
    for (; filled < count && this.#again < this.window.next; this.#again++) {
      if (!this.window.isOpen(this.#again)) continue
      this.#filler.fillOne(buffer, filled++, this.window, this.#again, this.#isRedelivery)
    }
    this.#context.counters.resent += filled
    return filled
  }

  #webSocketPath(): WebSocketPath | null {
    const { format, plan } = this.#context.options
    if (format.door === 'mqtt') return null
    if (format.door === 'mqtt-ws') return { path: '/mqtt', subprotocol: 'mqtt' }
    return { path: `/ingest/${deviceName(plan, this.connection)}?session=${plan.prefix}s`, subprotocol: null }
  }

  #onOpen(): void {
    const { options } = this.#context
    if (options.format.door === 'ws') {
      this.#start(true)
      return
    }
    const protocol = options.format.protocol
    this.#acks = new AckReader(
      {
        onConnack: (connack) => this.#onConnack(connack),
        onPuback: (packetId, reason) => {
          if (reason >= 0x80) this.#context.onReason(`PUBACK ${hex(reason)}`)
          this.window.acknowledge(packetId, reason)
        },
        onPingresp: () => {
          this.#pingsUnanswered--
          this.isFlushed = this.#isFlushAsked && this.#pingsUnanswered === 0
        },
        onDisconnect: (reason) => this.#transport?.destroy(`DISCONNECT ${hex(reason)}`),
      },
      protocol,
    )
    const properties =
      protocol === 5 && options.keepSession ? { sessionExpiryInterval: SESSION_EXPIRY_S } : undefined
    const clientId = `${options.plan.prefix}c${this.connection}`
    const common = {
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: protocol,
      keepalive: KEEP_ALIVE_S,
    } as const
    const { login } = options
    const shown = login === null ? {} : { username: login.username, password: Buffer.from(login.password) }
    this.#transport?.send(
      generate({ ...common, ...shown, clientId, clean: !options.keepSession, properties }),
    )
  }

  #onConnack(connack: ConnackReply): void {
    if (connack.reason !== 0) {
      this.#transport?.destroy(`CONNACK ${hex(connack.reason)}`)
      return
    }
    this.#windowLimit = Math.min(this.#context.options.window, connack.receiveMaximum)
    if (!connack.isSessionPresent) this.window.noteRepublished()
    this.#start(connack.isSessionPresent)
  }

  #start(isRedelivery: boolean): void {
    this.state = PublisherState.open
    this.#failures = 0
    this.fault = ''
    this.#isRedelivery = isRedelivery
    this.#again = this.isAnswering ? this.window.answered : this.window.next
    this.#context.counters.connected++
    this.#context.onReady(this)
  }

  // hot: per read
  #onData(bytes: Uint8Array, start: number, end: number): void {
    const { options } = this.#context
    this.window.beginRead(this.#context.onRead())
    if (options.format.door === 'ws') {
      this.#ackText += Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1')
    } else if (this.#acks !== null && !this.#acks.read(bytes, start, end)) {
      this.#transport?.destroy('a malformed MQTT packet')
    }
    this.window.endRead()
    this.#context.onReady(this)
  }

  /**
   * A cumulative acknowledgement of the plain WebSocket door: `{"ack":n}`. Nothing of MQTT ends with a frame.
   */
  #onMessageEnd(): void {
    if (this.#context.options.format.door !== 'ws') return
    const acknowledged = /^\s*\{\s*"ack"\s*:\s*(\d+)\s*\}\s*$/.exec(this.#ackText)
    if (acknowledged === null) {
      this.#context.onReason(`answer ${this.#ackText.slice(0, 80)}`)
      this.#context.counters.strayAcks++
    } else {
      this.window.acknowledgeBefore(Number(acknowledged[1]) - SEQ_BASE + 1)
    }
    this.#ackText = ''
    this.window.endRead()
  }

  #ping(): void {
    this.#pingsUnanswered++
    this.#transport?.send(PINGREQ)
  }

  #leaveOpen(): void {
    if (this.state === PublisherState.open) this.#context.counters.connected--
  }

  #onClose(fault: string | null): void {
    if (this.state === PublisherState.closed) return
    const { options, counters } = this.#context
    const wasOpen = this.state === PublisherState.open
    this.#leaveOpen()
    this.#transport = null
    this.#acks = null
    this.#ackText = ''
    this.#buffer = null
    this.fault = fault ?? 'closed'
    this.#context.onReason(`${wasOpen ? 'lost' : 'not connected'}: ${this.fault}`)
    if (wasOpen) counters.connectionsLost++
    if (wasOpen) this.#lostAtMs = this.#context.nowMs()
    this.#pingsUnanswered = 0
    this.#isFlushAsked = false
    if (options.reconnect && this.#context.nowMs() - this.#lostAtMs < options.drainMs) {
      this.state = PublisherState.waiting
      const backoffMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(10, this.#failures++))
      this.#retryTimer = setTimeout(() => this.connect(), backoffMs + (this.connection % 50))
    } else {
      this.state = PublisherState.closed
      this.limit = this.window.next
      counters.connectionsGivenUp++
    }
    this.#context.onReady(this)
  }
}

function hex(reason: number): string {
  return `0x${reason.toString(16).padStart(2, '0')}`
}
