/**
 * A device at the plain WebSocket door: frames `{seq, data}`, acknowledged cumulatively. After a lost connection it
 * comes back with its session and sends again from the first frame on that was not acknowledged.
 */
import type { Prng } from '../../base/prng.ts'
import type { IngestConnection, IngestTransport } from '../gateway/ingest-connection.ts'
import type { Books, Message } from './books.ts'
import type { SimDevice, SimHost } from './sim-device.ts'
import { SimulationError } from './simulation-error.ts'

export interface SessionSettings {
  session: string
  device: string
  stream: number
  windowMax: number
}

interface Frame {
  seq: number
  message: Message
}

export class SimSession implements SimDevice {
  #settings: SessionSettings
  #books: Books
  #prng: Prng
  #link: Link | null = null
  #unacknowledged: Frame[] = []
  #seq: number

  constructor(settings: SessionSettings, books: Books, prng: Prng) {
    this.#settings = settings
    this.#books = books
    this.#prng = prng
    this.#seq = prng.unit() < 0.5 ? 0 : 2 ** 32 - 10
  }

  get isIdle(): boolean {
    return this.#unacknowledged.length === 0
  }

  act(host: SimHost, mayPublish: boolean): void {
    if (this.#link?.isEnded === true) this.#link = null
    if (this.#link === null) {
      if (mayPublish || !this.isIdle) this.#connect(host)
      return
    }
    this.#link.bring(this.#prng.between(1, 4))
    if (mayPublish)
      for (let count = this.#prng.between(1, 4); count > 0; count--) this.#publish(host, this.#link)
    for (const seq of this.#link.takeAcks(this.#prng.unit() < 0.5 ? 1 : 100)) {
      this.#unacknowledged = this.#unacknowledged.filter((frame) => frame.seq > seq)
    }
  }

  disturb(host: SimHost): void {
    if (this.#link === null) return
    host.trace.note(this.#settings.session, 'loses its connection')
    this.#link.bring(this.#prng.between(0, 20))
    this.#link.cut()
    this.#link = null
  }

  forgetEngine(): void {
    this.#link = null
  }

  #connect(host: SimHost): void {
    const { session, device, stream } = this.#settings
    const link = new Link(this.#unacknowledged)
    link.connection = host.openIngest(link, stream, device, session)
    if (link.connection !== null) this.#link = link
  }

  /** Gaps in `seq` are allowed. */
  #publish(host: SimHost, link: Link): void {
    const { device, stream, windowMax } = this.#settings
    if (this.#unacknowledged.length >= windowMax) return
    const message = this.#books.write(device, stream, 1, host.nowMs)
    if (message.readings.length === 0 || message.payload[0] >= 0x80) return // no JSON: this door takes none such
    this.#seq += this.#prng.between(1, 3)
    const frame = { seq: this.#seq, message }
    this.#unacknowledged.push(frame)
    link.sending.push(frame)
    host.trace.note(this.#settings.session, 'sends message', message.number, 'as', frame.seq)
  }
}

/** One connection, both ends. */
class Link implements IngestTransport {
  readonly peer = { address: '192.0.2.1', identity: null }
  readonly bufferedBytes = 0
  readonly sending: Frame[]
  connection: IngestConnection | null = null
  isEnded = false
  #sent: Frame[] = []
  #acks: number[] = []

  constructor(sending: readonly Frame[]) {
    this.sending = [...sending]
  }

  /** Brings frames to the gateway. */
  bring(count: number): void {
    for (const frame of this.sending.splice(0, count)) {
      if (this.isEnded) return
      this.#sent.push(frame)
      const text = `{"seq":${frame.seq},"data":${Buffer.from(frame.message.payload).toString()}}`
      this.connection?.receive(Buffer.from(text), false)
    }
  }

  cut(): void {
    if (!this.isEnded) this.connection?.closed()
    this.isEnded = true
  }

  takeAcks(count: number): number[] {
    return this.#acks.splice(0, count)
  }

  sendText(text: string): void {
    const { ack } = JSON.parse(text)
    if (typeof ack !== 'number') throw new SimulationError(`a session was told ${text}`)
    if (!this.#sent.some(({ seq }) => seq === ack)) throw new SimulationError(`ack ${ack} of no frame`)
    for (const { seq, message } of this.#sent) if (seq <= ack) message.isAcknowledged = true
    this.#acks.push(ack)
  }

  sendBinary(): void {
    throw new SimulationError('a session was answered in MessagePack')
  }

  close(): void {
    this.isEnded = true
  }
}
