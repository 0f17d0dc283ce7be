/**
 * What must be true after a crash run, asked of ClickHouse as an analyst would: all that was acknowledged is stored, each
 * message once, the rollups are those of the samples, nothing was dead-lettered, the books balance. Read-only.
 */
import { LoadError } from '../fleet.ts'
import type { ConnectionOutcome } from '../fleet-options.ts'
import type { RowFindings } from '../row-check.ts'
import { StoreClient } from '../store-client.ts'
import type { Address } from '../transport.ts'
import { verifyLoad } from '../verification.ts'
import type { DeviceGroup } from './device-group.ts'
import { runProgram } from './program.ts'
import { compareAllRollups, type RollupFindings } from './rollup-oracle.ts'

const ROWS_WAIT_MS = 240_000
const WINDOWS_WAIT_MS = 240_000
const QUICK_WAIT_MS = 240_000
const POLL_MS = 100
const AUDIT_MS_MAX = 120_000

export interface GroupFindings {
  group: string
  /** Readings in a message. */
  metrics: number
  rows: RowFindings
  /** Rows of the sequence metric beyond one for each value. */
  sequenceCopies: number
  rollups: RollupFindings[]
}

export interface AuditFindings {
  /** The engine under test has the command. */
  exists: boolean
  code: number | null
  output: string
}

export interface CheckReport {
  groups: GroupFindings[]
  deadLetters: number
  audit: AuditFindings
  /** Everything that is wrong, a line each. */
  failures: string[]
}

/** All checks. The load must be over, and everything that was sent answered. */
export async function checkAll(
  groups: readonly DeviceGroup[],
  store: Address,
  auditArgs: readonly string[],
): Promise<CheckReport> {
  const client = new StoreClient(store)
  try {
    const report: CheckReport = {
      groups: [],
      deadLetters: await countDeadLetters(client),
      audit: await audit(auditArgs),
      failures: [],
    }
    for (const group of groups) report.groups.push(await checkGroup(group, client, store))
    report.failures = failuresOf(report)
    return report
  } finally {
    await client.close()
  }
}

/**
 * While the load pauses and everything is answered: how many messages are stored, and how many of them again. Waits for
 * rows on their way. Returns what is wrong, or an empty string.
 */
export async function checkQuickly(groups: readonly DeviceGroup[], store: Address): Promise<string> {
  const client = new StoreClient(store)
  try {
    const deadlineMs = performance.now() + QUICK_WAIT_MS
    for (;;) {
      const fault = await quickFault(groups, client).catch(notReadable)
      if (fault === null || fault.isFinal || performance.now() > deadlineMs) return fault?.text ?? ''
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  } finally {
    await client.close()
  }
}

interface QuickFault {
  text: string
  /** Waiting does not mend it. */
  isFinal: boolean
}

/** A store that was just killed is not back at once. */
function notReadable(error: unknown): QuickFault {
  if (error instanceof LoadError) return { text: error.message, isFinal: false }
  throw error
}

async function quickFault(groups: readonly DeviceGroup[], client: StoreClient): Promise<QuickFault | null> {
  for (const { plan, sent, links } of groups) {
    const [row] = await client.rows<{ rows: string; messages: string }>(`
      SELECT sum(c) AS rows, sum(u) AS messages FROM (
        SELECT count() AS c, uniqExact(value) AS u FROM millrace.samples
        WHERE metric = 'seq' AND startsWith(toString(device), '${plan.prefix}') GROUP BY device)`)
    const [rows, messages] = [Number(row.rows), Number(row.messages)]
    const allowed = links.reduce((sum, { window, connection }) => {
      return sum + copiesAllowed(window.outcome(connection))
    }, 0)
    if (rows - messages > allowed) {
      const text = `${plan.prefix}: ${rows - messages} messages stored again, at most ${allowed} were published anew`
      return { text, isFinal: true }
    }
    if (messages !== sent) {
      const text = `${plan.prefix}: ${sent} messages acknowledged, ${messages} stored`
      return { text, isFinal: messages > sent }
    }
  }
  return null
}

function copiesAllowed({ republished }: ConnectionOutcome): number {
  return republished.reduce((sum, [from, to]) => sum + to - from, 0)
}

async function checkGroup(group: DeviceGroup, client: StoreClient, store: Address): Promise<GroupFindings> {
  const { prefix } = group.plan
  const { rows } = await verifyLoad(
    { plan: group.plan, outcomes: group.outcomes() },
    { store, waitMs: ROWS_WAIT_MS, rollupsWaitMs: WINDOWS_WAIT_MS, latenessMs: 0 },
  )
  const [{ copies }] = await client.rows<{ copies: string }>(`
    SELECT sum(c - u) AS copies FROM (
      SELECT count() AS c, uniqExact(value) AS u FROM millrace.samples
      WHERE metric = 'seq' AND startsWith(toString(device), '${prefix}') GROUP BY device)`)
  return {
    group: prefix,
    metrics: group.plan.metrics,
    rows,
    sequenceCopies: Number(copies),
    rollups: await compareAllRollups(client, prefix),
  }
}

async function countDeadLetters(client: StoreClient): Promise<number> {
  const [row] = await client.rows<{ count: string }>('SELECT count() AS count FROM millrace.dead_letters')
  return Number(row.count)
}

/** `millrace audit`, where the engine has it. */
async function audit(args: readonly string[]): Promise<AuditFindings> {
  const help = await runProgram(['audit', '--help'], AUDIT_MS_MAX)
  if (help.code !== 0) return { exists: false, code: help.code, output: help.output }
  return { exists: true, ...(await runProgram(['audit', ...args], AUDIT_MS_MAX)) }
}

function failuresOf({ groups, deadLetters, audit }: CheckReport): string[] {
  const failures: string[] = []
  const fail = (isWrong: boolean, text: string): void => {
    if (isWrong) failures.push(text)
  }
  for (const { group, metrics, rows, sequenceCopies, rollups } of groups) {
    const example = rows.examples.length > 0 ? ` (${rows.examples.slice(0, 3).join('; ')})` : ''
    fail(rows.missing > 0, `${group}: ${rows.missing} acknowledged readings are not stored${example}`)
    fail(
      rows.duplicated > 0,
      `${group}: ${rows.duplicated} readings stored more often than published${example}`,
    )
    fail(rows.wrong > 0, `${group}: ${rows.wrong} readings have another value${example}`)
    fail(rows.foreign > 0, `${group}: ${rows.foreign} rows that nobody sent${example}`)
    const copies = rows.republishedCopies + rows.duplicated
    fail(
      copies !== sequenceCopies * metrics,
      `${group}: ${copies} copies of readings, but ${sequenceCopies} of messages with ${metrics} each`,
    )
    fail(rollups.length === 0, `${group}: there are no rollups`)
    for (const { window, wrong, readings, examples } of rollups) {
      fail(wrong > 0, `${group}: ${wrong} windows of ${window} differ from SQL over samples (${examples[0]})`)
      fail(
        wrong === 0 && readings !== rows.stored,
        `${group}: windows of ${window} count ${readings} readings, samples ${rows.stored}`,
      )
    }
  }
  fail(deadLetters > 0, `${deadLetters} dead letters, though every message was sound`)
  fail(audit.exists && audit.code !== 0, `millrace audit ends with ${audit.code}: ${audit.output.trim()}`)
  return failures
}
