/**
 * `millrace audit`: the ledger against itself, the tables and the journal. Every check says what differs; what a batch
 * on its way, an open window or a TTL explains is told apart from a difference. Reads only. Runs on the main thread of
 * the command, the journals on workers.
 *
 * Tables can't be read at one moment, so the journal is walked before and after: when it holds nothing pending both
 * times and nothing came between, nothing moved and every check is strict. Otherwise the arrival minutes that pending
 * messages may still change are left out of the comparison, and told as in flight.
 */
import { rollupAggregates, windowAggregates } from '../../operators/window-spec.ts'
import type { ConfigLayout } from '../config-layout.ts'
import type { StoreTarget } from '../store/target.ts'
import { comparedWindows } from './compared-windows.ts'
import type { Difference } from './difference.ts'
import type { JournalFindings } from './journal-walk.ts'
import { type Checked, checkBalance, checkTable, type LedgerSums, type TableSums } from './ledger-check.ts'
import { checkOrdered, type SampledWindows } from './ordered-check.ts'
import { checkPoints, type SampledPoints } from './point-check.ts'
import { type ComparedSince, comparedSince } from './retention.ts'
import { checkRollups, type WindowSums } from './rollup-check.ts'

export interface AuditSettings {
  target: StoreTarget
  walk: () => Promise<JournalFindings[]>
  /** What the journals are written under. */
  layout: Pick<ConfigLayout, 'streams' | 'windows'>
  /** Compare only what arrived, and windows that start, at or after this time; null for all. */
  sinceMs: number | null
}

export interface AuditReport {
  isBalanced: boolean
  /** Nothing was pending and nothing came meanwhile: all arrival minutes were compared. */
  isStrict: boolean
  /** And no window was open: all there is was compared. */
  isSettled: boolean
  ledger: LedgerSums[]
  tables: TableSums[]
  /** Of windows that merge. */
  windows: WindowSums[]
  /** Of windows that do not merge. */
  sampledWindows: SampledWindows[]
  sampledPoints: SampledPoints[]
  journals: JournalFindings[]
  /** Messages that are journalled and not known to be in ClickHouse. */
  pendingCount: number
  differences: Difference[]
  differenceCount: number
  notes: string[]
}

/** How far a message's arrival may lie before its place in the journal, ms. */
const RING_DELAY_MS_MAX = 10_000
/** A window that is due leaves with the next tick and batch; these take about that long, ms. */
const LEAVE_MS_MAX = 5000
/** Amendments wait to be joined, ms. */
const AMENDMENT_MS_MAX = 15_000
/** While things move, a difference may be two tables read at two moments: it must show again. */
const LOOK_COUNT_MAX = 3
const LOOK_PAUSE_MS = 700

/** Throws AuditError and StoreError. */
export async function runAudit(settings: AuditSettings): Promise<AuditReport> {
  for (let look = 1; ; look++) {
    const report = (await lookAtRest(settings)) ?? (await lookInMotion(settings))
    if (report.isBalanced || report.isStrict || look === LOOK_COUNT_MAX) return report
    await new Promise((resolve) => setTimeout(resolve, LOOK_PAUSE_MS))
  }
}

/** Null when anything moved. */
async function lookAtRest(settings: AuditSettings): Promise<AuditReport | null> {
  const before = await settings.walk()
  if (!isIdle(before)) return null
  const checks = await runChecks(settings, before, Number.POSITIVE_INFINITY)
  const after = await settings.walk()
  if (!isIdle(after) || messagesEnd(before) !== messagesEnd(after)) return null
  return reportOf(checks, after, true)
}

async function lookInMotion(settings: AuditSettings): Promise<AuditReport> {
  const startMs = Date.now()
  const journals = await settings.walk()
  return reportOf(await runChecks(settings, journals, inFlightSince(journals, startMs)), journals, false)
}

interface Checks {
  ledger: Checked<LedgerSums>
  tables: Checked<TableSums>
  windows: Checked<WindowSums>
  sampledWindows: Checked<SampledWindows>
  sampledPoints: Checked<SampledPoints>
  notes: string[]
}

/** Arrival minutes from `inFlightMs` on may differ. */
async function runChecks(
  settings: AuditSettings,
  journals: readonly JournalFindings[],
  inFlightMs: number,
): Promise<Checks> {
  const { target, sinceMs, layout } = settings
  const since = await comparedSince(target, sinceMs)
  const { windows, points, notes } = comparedWindows(layout.streams)
  const { latenessMs, idleTimeoutMs } = layout.windows
  const rule = { latenessMs, activeSinceMs: Math.min(activeSince(journals, idleTimeoutMs), inFlightMs) }
  const quietSinceMs = Math.min(activeSince(journals, idleTimeoutMs + AMENDMENT_MS_MAX), inFlightMs)
  const rollups: Checked<WindowSums>[] = []
  const ordered: Checked<SampledWindows>[] = []
  for (const window of windows) {
    if (rollupAggregates(window.spec).length > 0)
      rollups.push(await checkRollups(target, window, since.windowsMs, rule))
    if (windowAggregates(window.spec).length > 0)
      ordered.push(await checkOrdered(target, window, since, quietSinceMs))
  }
  const sampled: Checked<SampledPoints>[] = []
  for (const each of points) sampled.push(await checkPoints(target, each, since.pointsMs, quietSinceMs))
  return {
    ledger: await checkBalance(target, sinceMs),
    tables: await checkTables(target, since, inFlightMs),
    windows: together(rollups),
    sampledWindows: together(ordered),
    sampledPoints: together(sampled),
    notes: [...since.notes, ...notes],
  }
}

async function checkTables(
  target: StoreTarget,
  since: ComparedSince,
  inFlightMs: number,
): Promise<Checked<TableSums>> {
  return together([
    await checkTable(target, 'samples', since.samplesMs, inFlightMs),
    await checkTable(target, 'dead_letters', since.deadLettersMs, inFlightMs),
  ])
}

function reportOf(checks: Checks, journals: JournalFindings[], isStrict: boolean): AuditReport {
  const { ledger, tables, windows, sampledWindows, sampledPoints } = checks
  const damages = journals.flatMap(damageDifferences)
  const checked = [ledger, tables, windows, sampledWindows, sampledPoints]
  const differenceCount = checked.reduce((sum, check) => sum + check.differenceCount, damages.length)
  return {
    isBalanced: differenceCount === 0,
    isStrict,
    isSettled: isStrict && windows.sums.every(({ open }) => open === 0),
    ledger: ledger.sums,
    tables: tables.sums,
    windows: windows.sums,
    sampledWindows: sampledWindows.sums,
    sampledPoints: sampledPoints.sums,
    journals,
    pendingCount: journals.reduce((sum, { pendingCount }) => sum + pendingCount, 0),
    differences: [...checked.flatMap((check) => check.differences), ...damages],
    differenceCount,
    notes: [...checks.notes, ...journals.flatMap(setAsideNotes)],
  }
}

function damageDifferences({ shard, damages }: JournalFindings): Difference[] {
  const lost = damages.filter(({ isConfirmed }) => !isConfirmed)
  return lost.map(({ segment, offset, sizeBytes }) => {
    const at = `journal/${shard}/${segment}`
    const text = `journal: ${at} is damaged at byte ${offset}, ${sizeBytes} bytes; unconfirmed messages in it are lost`
    return { check: 'journal', stream: '', at, expected: sizeBytes, found: 0, text }
  })
}

function setAsideNotes({ shard, setAside }: JournalFindings): string[] {
  return setAside.map((name) => `the engine found damage and set it aside: journal/${shard}/${name}`)
}

/** Everything journalled is known to be in ClickHouse. */
function isIdle(journals: readonly JournalFindings[]): boolean {
  return journals.every(({ pendingCount }) => pendingCount === 0)
}

function messagesEnd(journals: readonly JournalFindings[]): string {
  return journals.map(({ messagesEnd }) => messagesEnd).join()
}

/** From which arrival on minutes may still change. */
function inFlightSince(journals: readonly JournalFindings[], startMs: number): number {
  const oldestMs = journals.map(({ pendingOldestMs }) => pendingOldestMs ?? Number.POSITIVE_INFINITY)
  return Math.min(startMs - RING_DELAY_MS_MAX, ...oldestMs)
}

/**
 * Series that have been silent since before this time have no open windows, by the journal's time, which stands still
 * while the engine is down; Infinity when no series has any.
 */
function activeSince(journals: readonly JournalFindings[], idleTimeoutMs: number): number {
  const open = journals.filter(({ areWindowsClosed }) => !areWindowsClosed)
  const nowMs = Math.max(...open.map(({ timeMs }) => timeMs)) // of one engine, whose shards end together
  return Math.min(
    Number.POSITIVE_INFINITY,
    ...open.map(({ gaps }) => {
      let sinceMs = nowMs - idleTimeoutMs - LEAVE_MS_MAX
      for (const { endMs, durationMs } of [...gaps].reverse()) if (endMs > sinceMs) sinceMs -= durationMs
      return sinceMs
    }),
  )
}

function together<T>(checked: readonly Checked<T>[]): Checked<T> {
  return {
    sums: checked.flatMap(({ sums }) => sums),
    differences: checked.flatMap(({ differences }) => differences),
    differenceCount: checked.reduce((sum, { differenceCount }) => sum + differenceCount, 0),
  }
}
