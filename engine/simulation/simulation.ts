/**
 * One run: gateways, rings, shards, journals and sinks on one thread, with devices, disks, a store and a clock that all
 * follow one seed. The engine lives and dies several times; then the faults cease, devices send again what was not
 * acknowledged, all is drained, and the tables are judged.
 */
import { ManualClock } from '../../base/clock.ts'
import { Prng } from '../../base/prng.ts'
import { Books } from './books.ts'
import { type Death, drawSettings, type RunSettings } from './run-settings.ts'
import { SimClient } from './sim-client.ts'
import type { SimDevice } from './sim-device.ts'
import { SimDisk } from './sim-disk.ts'
import { SimEngine } from './sim-engine.ts'
import { SimSession } from './sim-session.ts'
import { SimStore } from './sim-store.ts'
import { SimulationError } from './simulation-error.ts'
import { Trace } from './trace.ts'
import { judge } from './verdict.ts'

const START_MS = 1_700_000_000_000
const STARTS_MAX = 20
/** Rounds of a drain: each lets everybody do all they can. */
const ROUNDS_MAX = 4000
const TRACE_LINES = 60

export interface RunResult {
  seed: number
  /** Null: all promises were kept. */
  failure: string | null
  trace: string[]
  messages: number
  acknowledged: number
  /** Events, and how often what happened: equal seeds give equal figures. */
  events: number
  tallies: Record<string, number>
}

export async function simulate(seed: number): Promise<RunResult> {
  const run = new Run(seed)
  let failure: string | null = null
  try {
    await run.go()
  } catch (error) {
    const { name, message, stack = '' } = error as Error
    failure =
      error instanceof SimulationError
        ? message
        : `${name}: ${message}\n${stack.split('\n').slice(1, 6).join('\n')}`
  }
  const { messages } = run.books
  return {
    seed,
    failure,
    trace: failure === null ? [] : run.trace.lines(TRACE_LINES, failure),
    messages: messages.length,
    acknowledged: messages.filter(({ isAcknowledged }) => isAcknowledged).length,
    events: run.trace.count,
    tallies: run.trace.tallies,
  }
}

/** The disk's fault, by the dice; what it ends is ended by it and not by the engine. */
class DiskError extends Error {
  readonly code: string

  constructor(code: string) {
    super(code)
    this.code = code
  }
}

class Run {
  readonly books: Books
  readonly trace: Trace
  #prng: Prng
  #settings: RunSettings
  #clock = new ManualClock(START_MS)
  #disks: SimDisk[]
  #store: SimStore
  #devices: SimDevice[]
  #life = 0

  constructor(seed: number) {
    const prng = new Prng(seed)
    const settings = drawSettings(prng)
    this.#prng = prng
    this.#settings = settings
    this.trace = new Trace(this.#clock)
    this.books = new Books(prng)
    this.#store = new SimStore(this.trace)
    if (settings.isRefusing) this.#store.isRefused = isUnlucky
    this.#disks = Array.from({ length: settings.shardCount }, () => new SimDisk())
    for (const disk of this.#disks) {
      disk.isSyncManual = true
      disk.isCacheKept = settings.isCacheKept
    }
    this.#devices = [
      ...settings.clients.map((client) => new SimClient(client, this.books, prng)),
      ...settings.sessions.map((session) => new SimSession(session, this.books, prng)),
    ]
  }

  async go(): Promise<void> {
    for (let life = 0; life < this.#settings.lives; life++) await this.#live()
    this.#endFaults()
    const engine = this.#start()
    await this.#until(
      engine,
      () => this.#devices.every(({ isIdle }) => isIdle),
      'devices wait for acknowledgements',
    )
    await this.#drain(engine)
    while (this.#store.lateCount > 0) this.#store.commitLate(this.#prng)
    for (const [name, count] of Object.entries(judge(this.books, this.#store))) this.trace.tally(name, count)
    await this.#checkRestart()
  }

  /** From a start to a death. */
  async #live(): Promise<void> {
    const prng = this.#prng
    const { deaths, turnsMax } = this.#settings
    let death = deaths[prng.between(0, deaths.length - 1)]
    const engine = this.#start()
    try {
      const turns = prng.between(10, turnsMax)
      for (let turn = 0; turn < turns; turn++) await this.#turn(engine, true)
      if (death === 'stop') await this.#stop(engine)
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      death = 'kill'
    }
    this.#die(death)
    this.#clock.advance(prng.unit() < 0.3 ? prng.between(0, 2_000_000) : prng.between(0, 3000))
  }

  /** A stop that may come to its end, or be cut off. */
  async #stop(engine: SimEngine): Promise<void> {
    engine.beginDrain()
    const turns = this.#prng.between(0, 300)
    for (let turn = 0; turn < turns; turn++) {
      await this.#turn(engine, false)
      if (engine.areGatewaysDrained) engine.drainShards()
      if (engine.isDrained) {
        await this.#close(engine)
        return
      }
    }
  }

  #die(death: Death): void {
    this.trace.note(`=== ${death} ===`)
    this.trace.tally(death)
    for (const disk of this.#disks) {
      if (death === 'power-cut') disk.crash(this.#prng)
      else disk.kill()
    }
    this.#store.forgetSender(this.#prng)
    for (const device of this.#devices) device.forgetEngine()
  }

  /** A start may fail while the disk does; the supervisor tries again. */
  #start(): SimEngine {
    for (let start = 1; ; start++) {
      this.#life++
      this.trace.note('--- life', this.#life)
      try {
        return new SimEngine({
          settings: this.#settings,
          prng: this.#prng,
          clock: this.#clock,
          disks: this.#disks,
          store: this.#store,
          trace: this.trace,
        })
      } catch (error) {
        if (!(error instanceof DiskError) || start === STARTS_MAX) throw error
        this.trace.tally('start failed')
        this.#die('kill')
        this.#clock.advance(1000)
        if (start > 2) this.#endFaults()
      }
    }
  }

  async #turn(engine: SimEngine, mayPublish: boolean): Promise<void> {
    const prng = this.#prng
    const { pace, faultShare } = this.#settings
    if (prng.unit() < 0.2) this.#passTime()
    if (prng.unit() < faultShare) {
      this.#disturb(engine)
      return
    }
    const dice = prng.unit()
    const actor = pace.find(({ end }) => dice < end)?.actor ?? 'store'
    if (actor === 'device') this.#any(this.#devices)?.act(engine, mayPublish)
    else if (actor === 'network') this.#carry(engine)
    else if (actor === 'gateway') this.#any(engine.gateways.filter(({ isRunnable }) => isRunnable))?.run()
    else if (actor === 'shard') this.#any(engine.shards.filter(({ isRunnable }) => isRunnable))?.run()
    else if (actor === 'disk') this.#endDiskWork()
    else await this.#answer()
  }

  #passTime(): void {
    const dice = this.#prng.unit()
    this.#clock.advance(
      dice < 0.9 ? this.#prng.between(0, 60) : this.#prng.between(0, dice < 0.99 ? 2000 : 40_000),
    )
  }

  /** Some bytes of some connection arrive, one way. */
  #carry(engine: SimEngine): void {
    const prng = this.#prng
    const socket = this.#any(engine.sockets)
    if (socket === undefined) return
    const sizeBytes = prng.unit() < 0.2 ? prng.between(1, 8) : prng.between(1, 4000)
    if (socket.isStuck && prng.unit() < 0.3) socket.unstick()
    else if (prng.unit() < 0.6) socket.bringToGateway(sizeBytes)
    else socket.bringToDevice(sizeBytes)
    if (socket.isOver) engine.sockets.splice(engine.sockets.indexOf(socket), 1)
  }

  #endDiskWork(): void {
    const disk = this.#any(this.#disks.filter(({ waitingCount }) => waitingCount > 0))
    disk?.settle(this.#prng.between(0, disk.waitingCount - 1))
  }

  async #answer(): Promise<void> {
    if (this.#store.waitingCount === 0) return
    this.#store.answer(this.#prng)
    await microtasks()
  }

  #disturb(engine: SimEngine): void {
    const prng = this.#prng
    const { storeFaults } = this.#settings
    const dice = prng.unit()
    if (dice < 0.5) this.#any(this.#devices)?.disturb(engine)
    else if (dice < 0.75) this.#turnDiskFault()
    else if (dice < 0.95) {
      this.#store.fault = this.#store.fault === null ? (this.#any(storeFaults) ?? null) : null
      this.trace.note('store:', this.#store.fault ?? 'well')
    } else this.#store.commitLate(prng)
  }

  #turnDiskFault(): void {
    const disk = this.#any(this.#disks)
    if (disk === undefined) return
    const isWell = disk.writeFault === null && disk.syncFault === null
    const fault = isWell ? this.#any(this.#settings.diskFaults) : undefined
    disk.writeFault = fault === 'no-room' ? new DiskError('ENOSPC') : null
    disk.shortWriteSizeBytes = this.#prng.between(0, 3000)
    disk.syncFault = fault === 'sync-fails' ? new DiskError('EIO') : null
    this.trace.note('disk', this.#disks.indexOf(disk), fault ?? 'well')
    if (fault !== undefined) this.trace.tally(fault)
  }

  #endFaults(): void {
    this.#store.fault = null
    for (const disk of this.#disks) {
      disk.writeFault = null
      disk.syncFault = null
    }
  }

  /** Everything goes on without faults until it is so. */
  async #until(engine: SimEngine, isSo: () => boolean, what: string): Promise<void> {
    for (let round = 0; !isSo(); round++) {
      if (round === ROUNDS_MAX) throw new SimulationError(`after ${round} rounds without a fault ${what}`)
      for (const device of this.#devices) device.act(engine, false)
      for (const socket of [...engine.sockets]) {
        socket.unstick()
        socket.bringToGateway(this.#prng.between(1, 10_000))
        socket.bringToDevice(this.#prng.between(1, 10_000))
      }
      for (const thread of engine.threads) if (thread.isRunnable) thread.run()
      for (const disk of this.#disks) disk.settle()
      while (this.#store.waitingCount > 0) await this.#answer()
      this.#clock.advance(this.#prng.between(1, 300))
    }
  }

  async #drain(engine: SimEngine): Promise<void> {
    engine.beginDrain()
    await this.#until(engine, () => engine.areGatewaysDrained, 'gateways are not drained')
    engine.drainShards()
    await this.#until(engine, () => engine.isDrained, 'shards are not drained')
    await this.#close(engine)
  }

  async #close(engine: SimEngine): Promise<void> {
    let isClosed = false
    const closing = engine.close().finally(() => {
      isClosed = true
    })
    closing.catch(() => {}) // told below
    while (!isClosed) {
      for (const disk of this.#disks) disk.settle()
      await microtasks()
    }
    await closing
    this.trace.note('closed')
  }

  /** Nothing is left to do for a start after a drain. */
  async #checkRestart(): Promise<void> {
    const blockCount = this.#store.blocks.size
    this.#die('kill')
    const engine = this.#start()
    const { backlogSizeBytes } = engine
    if (backlogSizeBytes > 0)
      throw new SimulationError(`${backlogSizeBytes} bytes are to be replayed after a drain`)
    let rounds = 0
    await this.#until(engine, () => ++rounds > 20, '')
    if (this.#store.blocks.size > blockCount) throw new SimulationError('something was stored after a drain')
  }

  #any<T>(all: readonly T[]): T | undefined {
    return all.length === 0 ? undefined : all[this.#prng.between(0, all.length - 1)]
  }
}

/** Rows that the store refuses in some runs: a few samples, and the windows of some starts. */
function isUnlucky(table: string, value: number): boolean {
  return table === 'samples' ? Math.floor(value / 8) % 41 === 7 : (value / 10_000) % 29 === 3
}

function microtasks(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
