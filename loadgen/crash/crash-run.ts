/**
 * A crash run: devices that never stop publishing, an engine that is killed again and again, a ClickHouse behind a
 * breaking proxy, and at the end the checks. Everything that can be decided beforehand comes from the seed. Owned by the
 * caller's thread; prints nothing.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Prng } from '../../base/prng.ts'
import type { TelemetryPlan } from '../telemetry.ts'
import type { Address } from '../transport.ts'
import { type CheckReport, checkAll, checkQuickly } from './crash-check.ts'
import { CrashError } from './crash-error.ts'
import { DeviceGroup } from './device-group.ts'
import type { Redelivery } from './device-link.ts'
import { EngineUnderTest } from './engine-under-test.ts'
import { FaultProxy } from './fault-proxy.ts'
import { type Fault, isProxyFault, isRoundFault, planRound, type Round, type RoundFault } from './faults.ts'
import { LoadPacer } from './load-pacer.ts'
import { freePorts, openLog } from './program.ts'
import { StoreUnderTest } from './store-under-test.ts'

export interface CrashOptions {
  seed: number
  /** Each with one of the faults that come in rounds; 0 when none of them does. */
  rounds: number
  faults: readonly Fault[]
  /** The run goes on until the proxy has done so much. */
  proxyFaultCount: number
  redeliveries: readonly Redelivery[]
  /** The quick check runs after so many rounds; 0 never. */
  checkEvery: number
  gateways: number
  shards: number
  /** Holds the run's directory; by default the system's one for such files. */
  parentDirectory?: string
  keepDirectory: boolean
}

export interface CrashProgress {
  phase: 'rounds' | 'proxy' | 'drain' | 'check'
  round: number
  acknowledged: number
  inFlight: number
  proxyFaults: number
}

export interface CrashObserver {
  onRound?(round: Round, recoveryMs: number, progress: CrashProgress): void
  onProgress?(progress: CrashProgress): void
  signal?: AbortSignal
}

export interface CrashReport {
  isOk: boolean
  seed: number
  /** The run's directory when it was kept. */
  directory: string | null
  rounds: number
  /** The round in which something was found, 0 when none was. */
  failedRound: number
  failures: string[]
  /** How often each fault was done. */
  faultCounts: Partial<Record<Fault | 'killed-while-starting', number>>
  engine: { starts: number; supervisedStarts: number; failedStarts: string[]; faults: Record<string, number> }
  devices: {
    sent: number
    acknowledged: number
    resent: number
    connectionsLost: number
    reasons: Record<string, number>
  }
  recoveryMs: { median: number; max: number }
  proxy: { inserts: number; refused: number; answeredAgain: number; unanswered: number } | null
  checks: CheckReport | null
  seconds: number
}

const WINDOW = 200
const LIVE_MS_MAX = 30_000
const SETTLE_MS_MAX = 60_000
const POLL_MS = 5
const BATCH_AGES_MS = [20, 20, 60, 250] as const
const PROXY_RATE = 400
const PROXY_SLICE_MS = 100
/** Devices' clocks start in the past, so that none of them ever runs ahead. */
const AGE_MS = 3 * 3_600_000
const STEP_MS = 7

export async function runCrash(options: CrashOptions, observer: CrashObserver = {}): Promise<CrashReport> {
  const run = new CrashRun(options, observer)
  return run.run()
}

class CrashRun {
  readonly #options: CrashOptions
  readonly #observer: CrashObserver
  readonly #startMs = performance.now()
  readonly #directory: string
  readonly #recoveriesMs: number[] = []
  readonly #faultCounts: CrashReport['faultCounts'] = {}
  readonly #failures: string[] = []
  #groups: DeviceGroup[] = []
  #pacer!: LoadPacer
  #engine!: EngineUnderTest
  #store: StoreUnderTest | null = null
  #proxy: FaultProxy | null = null
  #storeAddress: Address = { host: '127.0.0.1', port: 0 }
  #round = 0
  #roundsDone = 0
  #failedRound = 0
  #checks: CheckReport | null = null
  #phase: CrashProgress['phase'] = 'rounds'

  constructor(options: CrashOptions, observer: CrashObserver) {
    this.#options = options
    this.#observer = observer
    const parent = options.parentDirectory ?? tmpdir()
    mkdirSync(parent, { recursive: true })
    this.#directory = mkdtempSync(join(parent, 'millrace-crash-'))
  }

  async run(): Promise<CrashReport> {
    const ticker = setInterval(() => this.#observer.onProgress?.(this.#progress()), 1000)
    const log = openLog(join(this.#directory, 'run.log'))
    try {
      await this.#setUp(log)
      await this.#rounds()
      await this.#untilProxyIsDone()
      await this.#drain()
      await this.#check()
    } catch (error) {
      if (!(error instanceof Error) || !('code' in error)) throw error
      this.#fail(error.message)
    } finally {
      clearInterval(ticker)
      this.#pacer?.stop()
      for (const group of this.#groups) group.close()
      await this.#engine?.destroy()
      await this.#proxy?.close()
      await this.#store?.destroy()
      log.end()
    }
    const isKept = this.#options.keepDirectory || this.#failures.length > 0
    if (!isKept) rmSync(this.#directory, { recursive: true, force: true })
    return this.#report(isKept)
  }

  async #setUp(log: ReturnType<typeof openLog>): Promise<void> {
    const { seed, faults, gateways, shards } = this.#options
    const proxyFaults = faults.filter(isProxyFault)
    const [mqtt, ws, http, sql, behind] = await freePorts(5, new Prng(seed + process.pid))
    this.#storeAddress.port = sql
    const configFile = join(this.#directory, 'config.ts')
    writeFileSync(configFile, configText(seed))
    const store: string[] = []
    if (proxyFaults.length > 0) {
      this.#store = new StoreUnderTest(join(this.#directory, 'clickhouse'), sql, log)
      await this.#store.start()
      this.#proxy = new FaultProxy({ port: behind, storePort: sql, seed, faults: proxyFaults })
      await this.#proxy.listen()
      store.push('--clickhouse', `http://127.0.0.1:${behind}`)
    } else {
      store.push('--store', `127.0.0.1:${sql}`)
    }
    const doors = ['--mqtt', `127.0.0.1:${mqtt}`, '--ws', `127.0.0.1:${ws}`, '--http', `127.0.0.1:${http}`]
    const threads = ['--gateways', String(gateways), '--shards', String(shards), '--journal-max', '128M']
    this.#engine = new EngineUnderTest({
      args: [configFile, '--data', join(this.#directory, 'data'), ...doors, ...store, ...threads],
      httpPort: http,
      isEmbedded: this.#store === null,
      log,
    })
    this.#groups = createGroups(seed, { host: '127.0.0.1', port: mqtt }, { host: '127.0.0.1', port: ws })
    this.#pacer = new LoadPacer(this.#groups)
    await this.#engine.start()
    for (const group of this.#groups) group.connect()
    this.#pacer.start()
    await this.#untilAnswered()
  }

  async #rounds(): Promise<void> {
    const { seed, rounds, faults, redeliveries, checkEvery } = this.#options
    const kills = faults.filter(isRoundFault)
    for (let number = 1; number <= rounds && !this.#isInterrupted; number++) {
      this.#round = number
      const round = planRound(seed, number, kills, redeliveries)
      const recoveryMs = await this.#playRound(round)
      if (checkEvery > 0 && number % checkEvery === 0) await this.#quickCheck()
      this.#roundsDone++
      this.#observer.onRound?.(round, recoveryMs, this.#progress())
    }
    this.#round = 0
  }

  /** Load, a fault, recovery; resolves with how long that took once everybody has answers again. */
  async #playRound(round: Round): Promise<number> {
    for (const group of this.#groups) group.redelivery = round.redelivery
    this.#pacer.rate = round.rate
    this.#pacer.perWrite = round.perWrite
    await sleep(round.delayMs)
    this.#checkAlive()
    if (round.burst > 0) {
      for (const group of this.#groups) for (const link of group.links) link.publish(round.burst)
      await sleep(round.burstLeadMs)
    }
    const startMs = performance.now()
    await this.#strike(round)
    await this.#untilAnswered()
    const recoveryMs = performance.now() - startMs
    this.#recoveriesMs.push(recoveryMs)
    this.#checkAlive()
    return recoveryMs
  }

  async #strike({ fault, reach, againAfterMs, downMs, frozenMs }: Round): Promise<void> {
    this.#count(fault)
    const engine = this.#engine
    if (fault === 'cut-devices') {
      for (const group of this.#groups) group.cut()
      return
    }
    if (fault === 'move-devices') {
      for (const group of this.#groups) group.move()
      return
    }
    if (fault === 'freeze-engine') return engine.freeze('engine', frozenMs)
    if (fault === 'freeze-store') {
      return this.#store === null ? engine.freeze('store', frozenMs) : this.#store.freeze(frozenMs)
    }
    if (fault === 'restart') {
      await engine.stop()
      await engine.start()
      return
    }
    const isEngine = fault === 'kill-engine' || fault === 'kill-both'
    const isStore = fault === 'kill-store' || fault === 'kill-both'
    await Promise.all([
      isStore ? this.#store?.kill() : null,
      engine.kill(isEngine ? (isStore ? 'both' : 'engine') : 'store', reach),
    ])
    if (isEngine && againAfterMs !== null) {
      engine.revive()
      await sleep(againAfterMs)
      this.#count('killed-while-starting')
      await engine.kill('engine', reach)
    }
    await Promise.all([isStore ? this.#store?.start() : null, isEngine ? engine.comeBack(downMs) : null])
    if (isStore) await engine.storeComesBack()
  }

  /** With load, until the proxy has broken enough. */
  async #untilProxyIsDone(): Promise<void> {
    const proxy = this.#proxy
    if (proxy === null) return
    this.#phase = 'proxy'
    this.#pacer.rate = PROXY_RATE
    this.#pacer.perWrite = 1
    while (proxy.faultCount < this.#options.proxyFaultCount && !this.#isInterrupted) {
      await sleep(PROXY_SLICE_MS)
      this.#checkAlive()
    }
  }

  /** Everything answered, then the engine stopped as it should be, and started again for the checks. */
  async #drain(): Promise<void> {
    this.#phase = 'drain'
    await this.#settle()
    if (this.#proxy !== null) this.#proxy.isArmed = false
    for (const group of this.#groups) {
      const { strayAcks, overtakingAcks, refused } = group.counters
      if (strayAcks > 0)
        this.#fail(`${group.plan.prefix}: ${strayAcks} acknowledgements for nothing in flight`)
      if (overtakingAcks > 0)
        this.#fail(`${group.plan.prefix}: ${overtakingAcks} acknowledgements out of order`)
      if (refused > 0) this.#fail(`${group.plan.prefix}: ${refused} messages refused`)
      group.close()
    }
    await this.#engine.stop()
    await this.#engine.start()
  }

  async #check(): Promise<void> {
    this.#phase = 'check'
    const { host, port } = this.#storeAddress
    const audit = ['--wait', '60', '--data', join(this.#directory, 'data'), '--store', `${host}:${port}`]
    this.#checks = await checkAll(this.#groups, this.#storeAddress, audit)
    this.#failures.push(...this.#checks.failures)
    await this.#engine.stop()
    const proxy = this.#proxy
    if (proxy === null) return
    if (proxy.tokenlessCount > 0) this.#fail(`${proxy.tokenlessCount} inserts came without a token`)
    if (proxy.unansweredCount > 0)
      this.#fail(`${proxy.unansweredCount} inserts whose reply was lost were never sent again`)
  }

  async #quickCheck(): Promise<void> {
    this.#pacer.rate = 0
    await this.#settle()
    const fault = await checkQuickly(this.#groups, this.#storeAddress)
    if (fault !== '') throw new CrashError(fault)
  }

  /** No new messages, and an answer to each that was sent. */
  async #settle(): Promise<void> {
    this.#pacer.rate = 0
    const deadlineMs = performance.now() + SETTLE_MS_MAX
    while (!this.#groups.every(({ isSettled }) => isSettled)) {
      if (performance.now() > deadlineMs) {
        const inFlight = this.#progress().inFlight
        throw new CrashError(
          `${inFlight} messages were not acknowledged in ${SETTLE_MS_MAX / 1000} s of peace`,
        )
      }
      await sleep(POLL_MS)
    }
  }

  /** Every device is connected, and has an answer to all that it had sent by now. */
  async #untilAnswered(): Promise<void> {
    const links = this.#groups.flatMap((group) => group.links)
    const goals = links.map(({ window }) => window.next)
    // What was just broken is seen by its owners first.
    await sleep(POLL_MS)
    const deadlineMs = performance.now() + LIVE_MS_MAX
    for (;;) {
      const late = links.filter(({ isOpen, window }, index) => !isOpen || window.answered < goals[index])
      if (late.length === 0) return
      if (performance.now() > deadlineMs) {
        const { fault, isOpen } = late[0]
        const state = isOpen ? 'is connected and gets no answer' : `can't connect: ${fault}`
        throw new CrashError(`${late.length} of ${links.length} connections are stuck; one ${state}`)
      }
      await sleep(POLL_MS)
    }
  }

  #checkAlive(): void {
    this.#engine.checkAlive()
    const [death] = this.#engine.unexpectedDeaths
    if (death !== undefined) throw new CrashError(death)
  }

  get #isInterrupted(): boolean {
    return this.#observer.signal?.aborted === true
  }

  #fail(message: string): void {
    this.#failures.push(message)
    this.#failedRound ||= this.#round
  }

  #count(fault: RoundFault | 'killed-while-starting'): void {
    this.#faultCounts[fault] = (this.#faultCounts[fault] ?? 0) + 1
  }

  #progress(): CrashProgress {
    return {
      phase: this.#phase,
      round: this.#round,
      acknowledged: this.#groups.reduce((sum, { counters }) => sum + counters.acknowledged, 0),
      inFlight: this.#groups.reduce((sum, { inFlight }) => sum + inFlight, 0),
      proxyFaults: this.#proxy?.faultCount ?? 0,
    }
  }

  #report(isKept: boolean): CrashReport {
    const sorted = this.#recoveriesMs.toSorted((a, b) => a - b)
    const proxy = this.#proxy
    return {
      isOk: this.#failures.length === 0,
      seed: this.#options.seed,
      directory: isKept ? this.#directory : null,
      rounds: this.#roundsDone,
      failedRound: this.#failedRound,
      failures: this.#failures,
      faultCounts: { ...this.#faultCounts, ...this.#proxyCounts() },
      engine: {
        starts: this.#engine?.startCount ?? 0,
        supervisedStarts: this.#engine?.supervisedStartCount ?? 0,
        failedStarts: this.#engine?.failedStarts ?? [],
        faults: Object.fromEntries(this.#engine?.faults ?? []),
      },
      devices: devicesReport(this.#groups),
      recoveryMs: { median: sorted[sorted.length >> 1] ?? 0, max: sorted.at(-1) ?? 0 },
      proxy:
        proxy === null
          ? null
          : {
              inserts: proxy.insertCount,
              refused: proxy.refusedCount,
              answeredAgain: proxy.repeatedCount,
              unanswered: proxy.unansweredCount,
            },
      checks: this.#checks,
      seconds: (performance.now() - this.#startMs) / 1000,
    }
  }

  #proxyCounts(): CrashReport['faultCounts'] {
    const counts = Object.entries(this.#proxy?.counts ?? {})
    return Object.fromEntries(counts.filter(([, count]) => count > 0))
  }
}

function devicesReport(groups: readonly DeviceGroup[]): CrashReport['devices'] {
  const report = {
    sent: 0,
    acknowledged: 0,
    resent: 0,
    connectionsLost: 0,
    reasons: {} as Record<string, number>,
  }
  for (const { counters, reasons } of groups) {
    report.sent += counters.sent
    report.acknowledged += counters.acknowledged
    report.resent += counters.resent
    report.connectionsLost += counters.connectionsLost
    for (const [reason, count] of Object.entries(reasons))
      report.reasons[reason] = (report.reasons[reason] ?? 0) + count
  }
  return report
}

/** Small batches, so that faults fall between and into many of them, and windows that close soon. */
function configText(seed: number): string {
  const batch = { ageMsMax: BATCH_AGES_MS[new Prng(seed).between(0, BATCH_AGES_MS.length - 1)] }
  const windows = { latenessMs: 500, idleTimeoutMs: 1500 }
  return `export default ${JSON.stringify({ batch, windows })}\n`
}

/** Three kinds of devices: MQTT 3.1.1 with JSON, MQTT 5 with MessagePack, and frames over a plain WebSocket. */
function createGroups(seed: number, mqtt: Address, webSocket: Address): DeviceGroup[] {
  const baseMs = Date.now() - AGE_MS
  const plan = (name: string, devices: number, connections: number): TelemetryPlan => {
    const prefix = `crash-${name}-`
    return { prefix, deviceDigits: 4, devices, connections, metrics: 3, seed, baseMs, stepMs: STEP_MS }
  }
  return [
    new DeviceGroup(plan('v4', 12, 4), { door: 'mqtt', codec: 'json', qos: 1, protocol: 4 }, mqtt, WINDOW),
    new DeviceGroup(plan('v5', 6, 3), { door: 'mqtt', codec: 'msgpack', qos: 1, protocol: 5 }, mqtt, WINDOW),
    new DeviceGroup(plan('ws', 3, 3), { door: 'ws', codec: 'json', qos: 1, protocol: 4 }, webSocket, WINDOW),
  ]
}
