/**
 * One run: gateways, rings, shards, journals and sinks on one thread, with devices, disks, a store and a clock that all
 * follow one seed. The engine lives and dies several times; then the faults cease, devices send again what was not
 * acknowledged, all is drained, and the tables are judged.
 */
import { ManualClock } from '../../base/clock.ts'
import { Prng } from '../../base/prng.ts'
import type { MillraceConfig } from '../config.ts'
import { Books, READINGS_MAX } from './books.ts'
import { type Death, drawSettings, type RunSettings } from './run-settings.ts'
import { SimClient } from './sim-client.ts'
import type { SimDevice } from './sim-device.ts'
import { SimDisk } from './sim-disk.ts'
import { SimEngine } from './sim-engine.ts'
import { changePipelines, configOf, downsamplersOf, operatorsOf, type SimPipelines } from './sim-pipelines.ts'
import { SimSession } from './sim-session.ts'
import { SimStore } from './sim-store.ts'
import { DiskError, SimulationError } from './simulation-error.ts'
import { Trace } from './trace.ts'
import { microtasks, Turns } from './turns.ts'
import { judge } from './verdict.ts'
import type { Downsamplers } from './verdict-points.ts'
import type { Operators } from './verdict-windows.ts'
import type { World } from './world.ts'

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

class Run {
  readonly books: Books
  readonly trace: Trace
  #prng: Prng
  #settings: RunSettings
  #clock = new ManualClock(START_MS)
  #disks: SimDisk[]
  #store: SimStore
  #world: World
  #devices: SimDevice[]
  #turns: Turns
  #life = 0
  #pipelines: SimPipelines
  /** All that there were, one after another. */
  #configs: MillraceConfig[]
  /** Nothing waits in the journals, and no window is open. */
  #isDrained = false
  /** No change of the config found a disk without room for a snapshot. */
  #isStateKept = true

  constructor(seed: number) {
    const prng = new Prng(seed)
    const settings = drawSettings(prng)
    this.#prng = prng
    this.#settings = settings
    this.trace = new Trace(this.#clock)
    const { pipelines } = settings
    this.#pipelines = pipelines
    this.#configs = [configOf(pipelines)]
    const steps = pipelines.streams.map((stream) => stream.steps)
    this.books = new Books(prng, settings.isClockUnsteady, steps)
    this.#store = new SimStore(this.trace)
    if (settings.isRefusing) this.#store.isRefused = isUnlucky
    this.#disks = Array.from({ length: settings.shardCount }, () => new SimDisk())
    for (const disk of this.#disks) {
      disk.isSyncManual = true
      disk.isCacheKept = settings.isCacheKept
      disk.sizeBytesMax = settings.diskSizeBytesMax
      disk.noRoom = new DiskError('ENOSPC')
    }
    this.#devices = [
      ...settings.clients.map((client) => new SimClient(client, this.books, prng)),
      ...settings.sessions.map((session) => new SimSession(session, this.books, prng)),
    ]
    const [clock, disks, store, trace] = [this.#clock, this.#disks, this.#store, this.trace]
    this.#world = { settings, prng, clock, disks, store, trace, alerts: [], config: this.#configs[0] }
    this.#turns = new Turns(this.#world, this.#devices)
  }

  async go(): Promise<void> {
    for (let life = 0; life < this.#settings.lives; life++) await this.#live()
    this.#turns.endFaults()
    const engine = await this.#start()
    this.#turns.endFaults() // a change of the config may have met some
    await this.#until(
      engine,
      () => this.#devices.every(({ isIdle }) => isIdle),
      'devices wait for acknowledgements',
    )
    await this.#drain(engine)
    while (this.#store.lateCount > 0) this.#store.commitLate(this.#prng)
    for (const [name, count] of Object.entries(this.#judge())) this.trace.tally(name, count)
    await this.#checkRestart()
  }

  #judge(): Record<string, number> {
    const epochCount = this.#configs.length
    const operators: Operators = {
      epochCount,
      isStateKept: this.#isStateKept,
      of: (epoch, stream, metric) => operatorsOf(this.#configs[epoch], stream, metric),
    }
    const downsamplers: Downsamplers = {
      epochCount,
      of: (epoch, stream, metric) => downsamplersOf(this.#configs[epoch], stream, metric),
    }
    return judge(this.books, this.#store, this.#world.alerts, operators, downsamplers)
  }

  /** From a start to a death. */
  async #live(): Promise<void> {
    const prng = this.#prng
    const { deaths, turnsMax, isClockUnsteady } = this.#settings
    let death = deaths[prng.between(0, deaths.length - 1)]
    const engine = await this.#start()
    try {
      const turns = prng.between(10, turnsMax)
      for (let turn = 0; turn < turns; turn++) await this.#turns.take(engine, true)
      if (death === 'stop') await this.#stop(engine)
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      death = 'kill'
    }
    this.#die(death)
    this.#clock.advance(prng.unit() < 0.3 ? prng.between(0, 2_000_000) : prng.between(0, 3000))
    if (isClockUnsteady && prng.unit() < 0.3) this.#clock.advance(-prng.between(0, 500_000))
  }

  /** A stop that may come to its end, or be cut off. */
  async #stop(engine: SimEngine): Promise<void> {
    engine.beginDrain()
    const turns = this.#prng.between(0, 300)
    for (let turn = 0; turn < turns; turn++) {
      await this.#turns.take(engine, false)
      if (engine.areGatewaysDrained) engine.drainShards()
      if (engine.isDrained) {
        if (!(await this.#settled(engine.finish()))) this.#isStateKept = false
        await this.#close(engine)
        this.#isDrained = true
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

  /** A start may be under another config. It may fail while the disk does; the supervisor tries again. */
  async #start(): Promise<SimEngine> {
    if (this.#life > 0 && this.#prng.unit() < this.#settings.changeShare) await this.#change()
    this.#isDrained = false
    return this.#open()
  }

  /** Brings what was taken to the store under the config as it was, if that succeeds before something happens; then changes it. */
  async #change(): Promise<void> {
    if (!this.#isDrained) {
      const engine = this.#open()
      let isDrained = false
      try {
        isDrained = await this.#drainRows(engine)
      } catch (error) {
        if (!(error instanceof DiskError)) throw error
      }
      if (isDrained) await this.#close(engine)
      this.#die('kill')
      if (!isDrained) return
    }
    this.trace.note('+++ another config')
    this.trace.tally(this.#isDrained ? 'config changed' : 'config changed in mid-window')
    this.#pipelines = changePipelines(this.#pipelines, this.#prng, this.#settings.areOperatorsOrdered)
    this.#configs.push(configOf(this.#pipelines))
    this.#world.config = this.#configs[this.#configs.length - 1]
    this.#store.epoch++
  }

  /** Whether all is stored, with the open windows in snapshots, or when there is no room for those, closed. */
  async #drainRows(engine: SimEngine): Promise<boolean> {
    let areWindowsKept = true
    engine.drainShards(false)
    const turns = this.#prng.between(0, 600)
    for (let turn = 0; turn < turns; turn++) {
      await this.#turns.take(engine, false, false)
      if (!engine.isDrained) continue
      if (!areWindowsKept || (await this.#settled(engine.finish()))) return true
      areWindowsKept = false
      this.#isStateKept = false
      engine.drainShards()
    }
    return false
  }

  /** Throws what the disk throws. */
  #open(): SimEngine {
    for (let start = 1; ; start++) {
      this.#life++
      this.trace.note('--- life', this.#life)
      try {
        return new SimEngine(this.#world)
      } catch (error) {
        if (!(error instanceof DiskError) || start === STARTS_MAX) throw error
        this.trace.tally('start failed')
        this.#die('kill')
        this.#clock.advance(1000)
        if (start > 2) this.#turns.endFaults()
      }
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
      while (this.#store.waitingCount > 0) await this.#turns.answer()
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
    await this.#settled(engine.close())
    this.trace.note('closed')
  }

  /** What comes of work that waits for disks alone. */
  async #settled<T>(work: Promise<T>): Promise<T> {
    let isSettled = false
    const ending = work.finally(() => {
      isSettled = true
    })
    ending.catch(() => {}) // told below
    while (!isSettled) {
      for (const disk of this.#disks) disk.settle()
      await microtasks()
    }
    return ending
  }

  /** Nothing is left to do for a start after a drain, but to replay when the disk was full. */
  async #checkRestart(): Promise<void> {
    const blockCount = this.#store.blocks.size
    this.#die('kill')
    const engine = this.#open()
    const { backlogSizeBytes } = engine
    const hasRoom = this.#settings.diskSizeBytesMax === Number.POSITIVE_INFINITY // for a last snapshot
    if (hasRoom && backlogSizeBytes > 0)
      throw new SimulationError(`${backlogSizeBytes} bytes are to be replayed after a drain`)
    let rounds = 0
    await this.#until(engine, () => ++rounds > 20, '')
    if (this.#store.blocks.size > blockCount) throw new SimulationError('something was stored after a drain')
    for (const disk of this.#disks) {
      const snapshots = disk.list().filter((name) => /\.(snapshot|stored)$/.test(name))
      if (snapshots.length > 2) throw new SimulationError(`${snapshots.length} snapshots are left`)
    }
  }
}

/** Rows that the store refuses in some runs: a few samples, and the windows of some starts. */
function isUnlucky(table: string, value: number): boolean {
  return table === 'samples' ? Math.floor(value / READINGS_MAX) % 41 === 7 : (value / 10_000) % 29 === 3
}
