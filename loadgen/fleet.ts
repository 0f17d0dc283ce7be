/**
 * One thread's publishers and the loop that lets them write in turn: flat out, or each message when it is
 * due. Owned by the thread that runs it (the caller's, or a load worker).
 *
 * At a fixed rate a message's latency counts from when it was due, not from when it was written, so that a
 * server that stalls cannot hide it by stalling the generator.
 */
import { emptyCounters, type FleetCounters, type FleetOptions, type FleetReport } from './fleet-options.ts'
import { LatencyHistogram } from './latency.ts'
import { PublishTemplate } from './publish-template.ts'
import { Publisher, type PublisherContext, PublisherState } from './publisher.ts'
import { SEQ_COUNT_MAX } from './telemetry.ts'

const CONNECTING_MAX = 64
const WRITES_PER_TURN_MAX = 16
const DRAIN_POLL_MS = 2
const TICK_MS = 1000
const SPACING_MS_MAX = 10

export class LoadError extends Error {
  readonly code = 'LOAD'
}

export interface FleetTick {
  counters: FleetCounters
  /** Latencies since the tick before, encoded. */
  latency: string
}

export class Fleet {
  readonly #options: FleetOptions
  readonly #publishers: Publisher[] = []
  readonly #counters = emptyCounters()
  readonly #reasons: Record<string, number> = {}
  readonly #total = new LatencyHistogram()
  readonly #interval = new LatencyHistogram()
  readonly #onTick: (tick: FleetTick) => void
  #ready: Publisher[] = []
  /** Where the next turn at a fixed rate starts, so that all connections get their share. */
  #cursor = 0
  #isRunning = false
  #isTurnDue = false
  #startMs = 0
  #lastReadMs = 0
  #wake: () => void = () => {}

  constructor(options: FleetOptions, onTick: (tick: FleetTick) => void) {
    this.#options = options
    this.#onTick = onTick
    const context = this.#createContext()
    const { connections, devices } = options.plan
    for (let connection = options.thread; connection < connections; connection += options.threads) {
      const share = Math.floor(options.messages / connections)
      const rest = connection < options.messages % connections ? 1 : 0
      const limit = options.messages > 0 ? share + rest : (devices / connections) * SEQ_COUNT_MAX
      this.#publishers.push(new Publisher(context, connection, Math.floor(limit)))
    }
  }

  /**
   * Connects all; the first one alone, so that an address where nothing listens is one error. Throws
   * LoadError.
   */
  async connect(): Promise<void> {
    const deadlineMs = performance.now() + this.#options.drainMs
    let started = 0
    for (;;) {
      const first = this.#publishers[0]
      if (first.state !== PublisherState.open && first.fault !== '') {
        const { host, port } = this.#options.address
        this.close()
        throw new LoadError(`cannot connect to ${host}:${port}: ${first.fault}`)
      }
      const connecting = this.#publishers.filter((one) => one.state === PublisherState.connecting).length
      const isProbed = first.state === PublisherState.open
      const room = isProbed ? CONNECTING_MAX - connecting : 1 - started
      for (let index = 0; index < room && started < this.#publishers.length; index++) {
        this.#publishers[started++].connect()
      }
      const isSettled = this.#publishers.every(
        ({ state }) => state === PublisherState.open || state === PublisherState.closed,
      )
      if ((isSettled && started === this.#publishers.length) || performance.now() > deadlineMs) break
      await this.#sleep(deadlineMs - performance.now())
    }
    if (this.#counters.connected === 0) throw new LoadError('no connection was accepted in time')
  }

  /** Sends, waits for what is in flight, closes. `stop` ends it early. */
  async run(): Promise<FleetReport> {
    const { durationMs, drainMs } = this.#options
    this.#startMs = performance.now()
    this.#lastReadMs = this.#startMs
    this.#isRunning = true
    const ticker = setInterval(() => this.#tick(), TICK_MS)
    const ender = durationMs > 0 ? setTimeout(() => this.stop(), durationMs) : null
    for (const publisher of this.#publishers) this.#queue(publisher)
    this.#turn()
    while (!this.#publishers.every((one) => one.window.next >= one.limit)) await this.#sleep(TICK_MS)
    const deadlineMs = performance.now() + drainMs
    while (performance.now() < deadlineMs) {
      for (const publisher of this.#publishers) if (!publisher.isAnswering) publisher.flush()
      if (this.#publishers.every(({ isDone }) => isDone)) break
      await this.#sleep(DRAIN_POLL_MS)
    }
    this.#isRunning = false
    if (ender !== null) clearTimeout(ender)
    clearInterval(ticker)
    this.#tick()
    this.close()
    return {
      counters: this.#counters,
      reasons: this.#reasons,
      activeMs: this.#lastReadMs - this.#startMs,
      latency: this.#total.encode(),
      outcomes: this.#publishers.map((publisher) => publisher.window.outcome(publisher.connection)),
    }
  }

  /** No new message from now on. */
  stop(): void {
    for (const publisher of this.#publishers)
      publisher.limit = Math.min(publisher.limit, publisher.window.next)
    this.#wake()
  }

  close(): void {
    for (const publisher of this.#publishers) publisher.close()
  }

  #createContext(): PublisherContext {
    const { plan, format } = this.#options
    return {
      options: this.#options,
      template: new PublishTemplate(plan, format),
      counters: this.#counters,
      buffers: [],
      nowMs: () => performance.now(),
      onRead: () => {
        this.#lastReadMs = performance.now()
        return this.#lastReadMs
      },
      onReason: (reason) => {
        this.#reasons[reason] = (this.#reasons[reason] ?? 0) + 1
      },
      onLatency: (latencyMs, count) => this.#interval.record(latencyMs, count),
      onReady: (publisher) => {
        if (this.#isRunning) this.#queue(publisher)
        else this.#wake()
      },
    }
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(1, delayMs))
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  // hot: per read and write
  #queue(publisher: Publisher): void {
    if (publisher.isQueued) return
    publisher.isQueued = true
    this.#ready.push(publisher)
    if (this.#isTurnDue || this.#options.rate > 0) return
    this.#isTurnDue = true
    setImmediate(this.#onImmediate)
  }

  readonly #onImmediate = (): void => {
    this.#isTurnDue = false
    this.#turn()
  }

  // hot: per turn of the event loop
  #turn(): void {
    if (!this.#isRunning) return
    if (this.#options.rate > 0) this.#turnAtRate()
    else this.#turnFlatOut()
  }

  #turnFlatOut(): void {
    const ready = this.#ready
    this.#ready = []
    const nowMs = performance.now()
    for (const publisher of ready) {
      publisher.isQueued = false
      for (let writes = 0; writes < WRITES_PER_TURN_MAX; writes++) {
        const count = publisher.writable
        if (count === 0) break
        this.#counters.sent += publisher.write(count, nowMs, nowMs)
      }
      if (publisher.writable > 0) this.#queue(publisher)
      else if (publisher.window.next >= publisher.limit) this.#wake()
    }
  }

  /** Writes what is due, then sleeps until more is; whoever can write has its turn. */
  #turnAtRate(): void {
    const { rate, perWrite } = this.#options
    const publishers = this.#publishers
    const nowMs = performance.now()
    const due = Math.floor(((nowMs - this.#startMs) * rate) / 1000)
    let idle = 0
    while (idle < publishers.length) {
      const publisher = publishers[this.#cursor]
      const count = publisher.writable
      if (due - this.#counters.sent < Math.max(1, count)) break
      this.#cursor = (this.#cursor + 1) % publishers.length
      if (count === 0) {
        idle++
        continue
      }
      idle = 0
      const dueMs = this.#startMs + ((this.#counters.sent + count) * 1000) / rate
      this.#counters.sent += publisher.write(count, dueMs, nowMs)
      if (publisher.window.next >= publisher.limit) this.#wake()
    }
    const spacingMs = Math.min(SPACING_MS_MAX, Math.max(1, (perWrite * 1000) / rate))
    setTimeout(this.#onImmediate, spacingMs)
  }

  #tick(): void {
    const nowMs = performance.now()
    this.#counters.inFlight = 0
    for (const publisher of this.#publishers) {
      publisher.keepAlive(nowMs)
      if (publisher.isAnswering) this.#counters.inFlight += publisher.window.inFlight
    }
    const latency = this.#interval.encode()
    this.#total.add(latency)
    this.#interval.reset()
    this.#onTick({ counters: { ...this.#counters }, latency })
  }
}
