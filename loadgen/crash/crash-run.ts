/**
 * A crash run: devices that never stop publishing, an engine that is killed again and again, a ClickHouse behind a
 * breaking proxy, and at the end the checks. Everything that can be decided beforehand comes from the seed. Owned by the
 * caller's thread; prints nothing.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type CheckReport, checkAll, checkQuickly } from './crash-check.ts'
import type { CrashObserver, CrashOptions, CrashProgress, CrashReport } from './crash-contract.ts'
import { CrashError } from './crash-error.ts'
import type { DeviceGroup } from './device-group.ts'
import { isRoundFault, planRound, type Round, type RoundFault } from './faults.ts'
import { TestBed } from './test-bed.ts'

const LIVE_MS_MAX = 120_000
const SETTLE_MS_MAX = 240_000
const POLL_MS = 5
const PROXY_RATE = 400
const PROXY_SLICE_MS = 100

export async function runCrash(options: CrashOptions, observer: CrashObserver = {}): Promise<CrashReport> {
  const parent = options.parentDirectory ?? tmpdir()
  mkdirSync(parent, { recursive: true })
  const directory = mkdtempSync(join(parent, 'millrace-crash-'))
  return new CrashRun(options, observer, directory, await TestBed.create(directory, options)).run()
}

class CrashRun {
  readonly #options: CrashOptions
  readonly #observer: CrashObserver
  readonly #startMs = performance.now()
  readonly #directory: string
  readonly #recoveriesMs: number[] = []
  readonly #faultCounts: CrashReport['faultCounts'] = {}
  readonly #failures: string[] = []
  readonly #bed: TestBed
  #round = 0
  #roundsDone = 0
  #failedRound = 0
  #checks: CheckReport | null = null
  #phase: CrashProgress['phase'] = 'rounds'

  constructor(options: CrashOptions, observer: CrashObserver, directory: string, bed: TestBed) {
    this.#options = options
    this.#observer = observer
    this.#directory = directory
    this.#bed = bed
  }

  async run(): Promise<CrashReport> {
    const ticker = setInterval(() => this.#observer.onProgress?.(this.#progress()), 1000)
    try {
      await this.#bed.start()
      await this.#untilAnswered()
      await this.#rounds()
      await this.#untilProxyIsDone()
      await this.#drain()
      await this.#check()
    } catch (error) {
      if (!(error instanceof Error) || !('code' in error)) throw error
      this.#fail(error.message)
    } finally {
      clearInterval(ticker)
      await this.#bed.close()
    }
    const isKept = this.#options.keepDirectory || this.#failures.length > 0
    if (!isKept) rmSync(this.#directory, { recursive: true, force: true })
    return this.#report(isKept)
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
    for (const group of this.#bed.groups) group.redelivery = round.redelivery
    this.#bed.pacer.rate = round.rate
    this.#bed.pacer.perWrite = round.perWrite
    await sleep(round.delayMs)
    this.#checkAlive()
    if (round.burst > 0) {
      for (const group of this.#bed.groups) for (const link of group.links) link.publish(round.burst)
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
    const engine = this.#bed.engine
    if (fault === 'cut-devices') {
      for (const group of this.#bed.groups) group.cut()
      return
    }
    if (fault === 'move-devices') {
      for (const group of this.#bed.groups) group.move()
      return
    }
    if (fault === 'freeze-engine') return engine.freeze('engine', frozenMs)
    if (fault === 'freeze-store') {
      return this.#bed.store === null ? engine.freeze('store', frozenMs) : this.#bed.store.freeze(frozenMs)
    }
    if (fault === 'restart') {
      await engine.stop()
      await engine.start()
      return
    }
    const isEngine = fault === 'kill-engine' || fault === 'kill-both'
    const isStore = fault === 'kill-store' || fault === 'kill-both'
    await Promise.all([
      isStore ? this.#bed.store?.kill() : null,
      engine.kill(isEngine ? (isStore ? 'both' : 'engine') : 'store', reach),
    ])
    if (isEngine && againAfterMs !== null) {
      engine.revive()
      await sleep(againAfterMs)
      this.#count('killed-while-starting')
      await engine.kill('engine', reach)
    }
    await Promise.all([isStore ? this.#bed.store?.start() : null, isEngine ? engine.comeBack(downMs) : null])
    if (isStore) await engine.storeComesBack()
  }

  /** With load, until the proxy has broken enough. */
  async #untilProxyIsDone(): Promise<void> {
    const proxy = this.#bed.proxy
    if (proxy === null) return
    this.#phase = 'proxy'
    this.#bed.pacer.rate = PROXY_RATE
    this.#bed.pacer.perWrite = 1
    while (proxy.faultCount < this.#options.proxyFaultCount && !this.#isInterrupted) {
      await sleep(PROXY_SLICE_MS)
      this.#checkAlive()
    }
  }

  /** Everything answered, then the engine stopped as it should be, and started again for the checks. */
  async #drain(): Promise<void> {
    this.#phase = 'drain'
    await this.#settle()
    if (this.#bed.proxy !== null) this.#bed.proxy.isArmed = false
    for (const group of this.#bed.groups) {
      const { strayAcks, overtakingAcks, refused } = group.counters
      if (strayAcks > 0)
        this.#fail(`${group.plan.prefix}: ${strayAcks} acknowledgements for nothing in flight`)
      if (overtakingAcks > 0)
        this.#fail(`${group.plan.prefix}: ${overtakingAcks} acknowledgements out of order`)
      if (refused > 0) this.#fail(`${group.plan.prefix}: ${refused} messages refused`)
      group.close()
    }
    await this.#bed.engine.stop()
    await this.#bed.engine.start()
  }

  async #check(): Promise<void> {
    this.#phase = 'check'
    const { host, port } = this.#bed.storeAddress
    const audit = ['--wait', '60', '--data', this.#bed.dataPath, '--store', `${host}:${port}`]
    this.#checks = await checkAll(this.#bed.groups, this.#bed.storeAddress, audit)
    this.#failures.push(...this.#checks.failures)
    await this.#bed.engine.stop()
    const proxy = this.#bed.proxy
    if (proxy === null) return
    if (proxy.tokenlessCount > 0) this.#fail(`${proxy.tokenlessCount} inserts came without a token`)
    if (proxy.unansweredCount > 0)
      this.#fail(`${proxy.unansweredCount} inserts whose reply was lost were never sent again`)
  }

  async #quickCheck(): Promise<void> {
    this.#bed.pacer.rate = 0
    await this.#settle()
    const fault = await checkQuickly(this.#bed.groups, this.#bed.storeAddress)
    if (fault !== '') throw new CrashError(fault)
  }

  /** No new messages, and an answer to each that was sent. */
  async #settle(): Promise<void> {
    this.#bed.pacer.rate = 0
    const deadlineMs = performance.now() + SETTLE_MS_MAX
    while (!this.#bed.groups.every(({ isSettled }) => isSettled)) {
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
    const links = this.#bed.groups.flatMap((group) => group.links)
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
    this.#bed.engine.checkAlive()
    const [death] = this.#bed.engine.unexpectedDeaths
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
      acknowledged: this.#bed.groups.reduce((sum, { counters }) => sum + counters.acknowledged, 0),
      inFlight: this.#bed.groups.reduce((sum, { inFlight }) => sum + inFlight, 0),
      proxyFaults: this.#bed.proxy?.faultCount ?? 0,
    }
  }

  #report(isKept: boolean): CrashReport {
    const sorted = this.#recoveriesMs.toSorted((a, b) => a - b)
    const proxy = this.#bed.proxy
    return {
      isOk: this.#failures.length === 0,
      seed: this.#options.seed,
      directory: isKept ? this.#directory : null,
      rounds: this.#roundsDone,
      failedRound: this.#failedRound,
      failures: this.#failures,
      faultCounts: { ...this.#faultCounts, ...this.#proxyCounts() },
      engine: {
        starts: this.#bed.engine.startCount,
        supervisedStarts: this.#bed.engine.supervisedStartCount,
        failedStarts: this.#bed.engine.failedStarts,
        faults: Object.fromEntries(this.#bed.engine.faults),
      },
      devices: devicesReport(this.#bed.groups),
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
    const counts = Object.entries(this.#bed.proxy?.counts ?? {})
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
