/**
 * Compares what a load run sent and what was acknowledged with what ClickHouse holds: every row of `samples`,
 * and every window of `rollups_merged`. Waits, bounded, for rows on their way. Reads in pages, since a store
 * may limit what one query returns.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ConnectionOutcome } from './fleet-options.ts'
import type { LoadRun } from './load.ts'
import { compareRollups, WINDOWS, type WindowFindings } from './rollup-check.ts'
import { RowCheck, type RowFindings } from './row-check.ts'
import { StoreAwayError, StoreClient } from './store-client.ts'
import { deviceName, messagesOfDevice, metricName, type TelemetryPlan } from './telemetry.ts'
import type { Address } from './transport.ts'

export interface VerifyOptions {
  store: Address
  /** How long to wait for rows, and for a store that does not answer. */
  waitMs?: number
  /** How long to wait then for windows to close; 0 leaves them out. */
  rollupsWaitMs?: number
  /** The engine's allowed lateness: a window is due this long after its end. */
  latenessMs?: number
}

export interface VerificationReport {
  /** Rows are as they must be, and so is every window, unless windows were left out. */
  isOk: boolean
  seconds: number
  rows: RowFindings
  /** Empty when they were left out. */
  windows: WindowFindings[]
}

const STREAM = 'telemetry'
const POLL_MS = 500
const PAGE_ROWS = 250_000
/** device UInt32, metric UInt8, ts Int64, value Float64. */
const ROW_SIZE_BYTES = 21
const NO_DEVICE = 0xffff_ffff

interface Page {
  /** Devices from .. to, both of them in. */
  firstDevice: number
  lastDevice: number
  /** Message numbers of each device, `to` not in. */
  fromSeq: number
  toSeq: number
}

/**
 * Reads the store until it holds what it must, or the wait is over. Throws LoadError when it cannot be read.
 */
export async function verifyLoad(
  run: Pick<LoadRun, 'plan' | 'outcomes'>,
  options: VerifyOptions,
): Promise<VerificationReport> {
  const startMs = performance.now()
  const store = new StoreClient(options.store)
  try {
    const rows = await verifyRows(store, run.plan, run.outcomes, options.waitMs ?? 30_000)
    const rollupsWaitMs = options.rollupsWaitMs ?? 60_000
    const windows = rollupsWaitMs === 0 ? [] : await verifyWindows(store, run, options, rollupsWaitMs)
    const areWindowsOk = windows.every(({ equal, compared }) => equal === compared)
    const isOk = rows.missing + rows.duplicated + rows.wrong + rows.foreign === 0 && areWindowsOk
    return { isOk, seconds: (performance.now() - startMs) / 1000, rows, windows }
  } finally {
    await store.close()
  }
}

async function verifyRows(
  store: StoreClient,
  plan: TelemetryPlan,
  outcomes: ConnectionOutcome[],
  waitMs: number,
): Promise<RowFindings> {
  const deadlineMs = performance.now() + waitMs
  const target = expectedRows(plan, outcomes)
  for (;;) {
    let count = await onceThere(deadlineMs, () => countRows(store, plan))
    while (count < target && performance.now() < deadlineMs) {
      await sleep(POLL_MS)
      count = await onceThere(deadlineMs, () => countRows(store, plan))
    }
    const findings = await onceThere(deadlineMs, () => checkRows(store, plan, outcomes))
    if (findings.missing === 0 || performance.now() > deadlineMs) return findings
    await sleep(POLL_MS)
  }
}

/** Asks again, from the beginning, while nobody answers. */
async function onceThere<T>(deadlineMs: number, ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof StoreAwayError) || performance.now() > deadlineMs) throw error
      await sleep(POLL_MS)
    }
  }
}

/** How many rows are worth waiting for: those acknowledged, or all where the door acknowledges nothing. */
function expectedRows(plan: TelemetryPlan, outcomes: ConnectionOutcome[]): number {
  let acknowledged = 0
  let sent = 0
  for (const outcome of outcomes) {
    acknowledged += outcome.answered - outcome.refused.length + outcome.acknowledgedEarly.length
    sent += outcome.sent
  }
  return (acknowledged > 0 ? acknowledged : sent) * plan.metrics
}

async function countRows(store: StoreClient, plan: TelemetryPlan): Promise<number> {
  const query = `SELECT count() AS count FROM millrace.samples WHERE startsWith(device, '${plan.prefix}')`
  const [row] = await store.rows<{ count: string }>(query)
  return Number(row.count)
}

async function checkRows(
  store: StoreClient,
  plan: TelemetryPlan,
  outcomes: ConnectionOutcome[],
): Promise<RowFindings> {
  const check = new RowCheck(plan, outcomes)
  let seen = 0
  for (const page of pages(plan, outcomes)) {
    await store.binaryRows(rowsQuery(plan, page), ROW_SIZE_BYTES, (row, at) => {
      const device = row.getUint32(at, true)
      const metric = row.getUint8(at + 4) - 1
      const tsMs = Number(row.getBigInt64(at + 5, true))
      check.take(device === NO_DEVICE ? -1 : device, metric, tsMs, row.getFloat64(at + 13, true))
      seen++
    })
  }
  const elsewhere = (await countRows(store, plan)) - seen
  check.addForeign(
    Math.max(0, elsewhere),
    `${elsewhere} rows of the prefix at times or in streams that were not sent`,
  )
  return check.finish()
}

/**
 * Rows of a page; a device or metric that is none of the fleet's, or one with a text, becomes a number that
 * is none.
 */
function rowsQuery(plan: TelemetryPlan, page: Page): string {
  const nameSize = plan.prefix.length + plan.deviceDigits
  const metrics = Array.from({ length: plan.metrics }, (_, metric) => `'${metricName(metric)}'`)
  const digits = `toUInt32OrNull(substring(toString(device), ${plan.prefix.length + 1}))`
  const fromMs = plan.baseMs + page.fromSeq * plan.stepMs
  const toMs = plan.baseMs + page.toSeq * plan.stepMs
  return `
    SELECT ifNull(if(length(device) = ${nameSize}, ${digits}, NULL), toUInt32(${NO_DEVICE})) AS d,
      toUInt8(if(text = '', indexOf([${metrics.join(', ')}], toString(metric)), 0)) AS m,
      toUnixTimestamp64Milli(ts) AS t, value
    FROM millrace.samples
    WHERE ${deviceCondition(plan, page)}
      AND ts >= fromUnixTimestamp64Milli(toInt64(${fromMs}))
      AND ts < fromUnixTimestamp64Milli(toInt64(${toMs}))`
}

function deviceCondition(plan: TelemetryPlan, page: Pick<Page, 'firstDevice' | 'lastDevice'>): string {
  const [first, last] = [deviceName(plan, page.firstDevice), deviceName(plan, page.lastDevice)]
  return `stream = '${STREAM}' AND device >= '${first}' AND device <= '${last}'`
}

/** All devices and their messages, cut so that a page is expected to hold at most PAGE_ROWS rows. */
function* pages(plan: TelemetryPlan, outcomes: ConnectionOutcome[]): Generator<Page> {
  const messages = messagesPerDeviceMax(plan, outcomes)
  if (messages === 0) return
  const devicesPerPage = Math.max(1, Math.floor(PAGE_ROWS / (messages * plan.metrics)))
  const seqsPerPage = Math.max(1, Math.floor(PAGE_ROWS / plan.metrics))
  for (let firstDevice = 0; firstDevice < plan.devices; firstDevice += devicesPerPage) {
    const lastDevice = Math.min(plan.devices, firstDevice + devicesPerPage) - 1
    for (let fromSeq = 0; fromSeq < messages; fromSeq += seqsPerPage) {
      yield { firstDevice, lastDevice, fromSeq, toSeq: Math.min(messages, fromSeq + seqsPerPage) }
    }
  }
}

function messagesPerDeviceMax(plan: TelemetryPlan, outcomes: ConnectionOutcome[]): number {
  let most = 0
  for (const { connection, sent } of outcomes) most = Math.max(most, messagesOfDevice(plan, connection, sent))
  return most
}

/** Compares all windows, again and again until none is open or wrong or the wait is over. */
async function verifyWindows(
  store: StoreClient,
  { plan, outcomes }: Pick<LoadRun, 'plan' | 'outcomes'>,
  { latenessMs = 10_000 }: VerifyOptions,
  waitMs: number,
): Promise<WindowFindings[]> {
  const deadlineMs = performance.now() + waitMs
  for (;;) {
    const windows = await onceThere(deadlineMs, () => checkWindows(store, plan, outcomes, latenessMs))
    const isSettled = windows.every(({ equal, compared }) => equal === compared)
    if (isSettled) return windows
    if (performance.now() > deadlineMs) return explainAbsent(store, plan, windows)
    await sleep(4 * POLL_MS)
  }
}

/** Windows of which there is none: the engine's config names others. */
async function explainAbsent(
  store: StoreClient,
  plan: TelemetryPlan,
  windows: WindowFindings[],
): Promise<WindowFindings[]> {
  const rows = await store.rows<{ window: string }>(
    `SELECT DISTINCT toString(window) AS window FROM millrace.rollups_merged
    WHERE stream = '${STREAM}' AND startsWith(device, '${plan.prefix}') ORDER BY window LIMIT 20`,
  )
  const there = rows.map(({ window }) => window)
  return windows.map((findings) => {
    const { window, compared } = findings
    if (compared === 0 || there.includes(window)) return findings
    const others = there.length === 0 ? '' : ` (there are ${there.join(', ')})`
    const known = WINDOWS.map(({ window: label }) => label).join(' and ')
    const advice = `only ${known} can be verified, --rollups-wait 0 leaves them out`
    return { ...findings, examples: [`rollups has no window of ${window}${others}: ${advice}`] }
  })
}

async function checkWindows(
  store: StoreClient,
  plan: TelemetryPlan,
  outcomes: ConnectionOutcome[],
  latenessMs: number,
): Promise<WindowFindings[]> {
  const devicePages = [...pages(plan, outcomes)].filter(({ fromSeq }) => fromSeq === 0)
  const findings: WindowFindings[] = []
  for (const { window, widthMs } of WINDOWS) {
    const sum: WindowFindings = { window, compared: 0, equal: 0, open: 0, wrong: 0, examples: [] }
    for (const page of devicePages) {
      const found = await compareRollups(store, deviceCondition(plan, page), window, widthMs, latenessMs)
      sum.compared += found.compared
      sum.equal += found.equal
      sum.open += found.open
      sum.wrong += found.wrong
      if (sum.examples.length === 0) sum.examples = found.examples
    }
    findings.push(sum)
  }
  return findings
}
