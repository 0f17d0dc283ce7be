/**
 * Which part of the tables can be compared at all: what a TTL may have deleted can't, nor what was stored before the
 * database had a ledger. All of it is read from ClickHouse, so that it holds whoever changed the tables.
 */
import type { StoreTarget } from '../store/target.ts'
import { AuditError } from './audit-error.ts'

/** From where on things are compared, ms since the epoch. */
export interface ComparedSince {
  samplesMs: number
  deadLettersMs: number
  /** Windows that start at or after it. */
  windowsMs: number
  /** The same of windows that do not merge, and of points. */
  orderedMs: number
  pointsMs: number
  /** From when on `samples` has all readings, by event time; -Infinity for all times. */
  keptMs: number
  /** For people: what is left out, and why. */
  notes: string[]
}

const MINUTE_MS = 60_000
const EVER_MS = Number.NEGATIVE_INFINITY
/** Of days in a month and a year as few as there are: what may be gone is not compared. */
const UNIT_MS: Record<string, number> = {
  Second: 1000,
  Minute: MINUTE_MS,
  Hour: 60 * MINUTE_MS,
  Day: 1440 * MINUTE_MS,
  Week: 7 * 1440 * MINUTE_MS,
  Month: 28 * 1440 * MINUTE_MS,
  Quarter: 90 * 1440 * MINUTE_MS,
  Year: 365 * 1440 * MINUTE_MS,
}
/** The schema's version that brought the ledger; a database may have come to a later one at once. */
const LEDGER_VERSION = 2

/** `sinceMs` is what the user wants to look at; null for all. Throws AuditError and StoreError. */
export async function comparedSince(target: StoreTarget, sinceMs: number | null): Promise<ComparedSince> {
  const notes: string[] = []
  const since = sinceMs ?? EVER_MS
  const [tables, ledgerBeginMs, nowMs] = await Promise.all([
    tableStatements(target),
    ledgerBegin(target),
    storeNow(target),
  ])
  const keptSince = (table: string): number => {
    const ttl = shortestTtlMs(tables.get(table) ?? '')
    if (ttl === null) return EVER_MS
    if (!Number.isFinite(ttl)) {
      notes.push(`the TTL of ${table} is not understood: what it deleted shows as missing`)
      return EVER_MS
    }
    notes.push(`${table} older than ${iso(nowMs - ttl)} is not compared: its TTL may have deleted it`)
    return nowMs - ttl
  }
  if (ledgerBeginMs !== EVER_MS)
    notes.push(`what arrived before ${iso(ledgerBeginMs)} is not compared: the database had no ledger yet`)
  const samples = keptSince('samples')
  const ledger = Math.max(since, ledgerBeginMs, keptSince('ledger'))
  return {
    samplesMs: wholeMinute(Math.max(ledger, samples)),
    deadLettersMs: wholeMinute(Math.max(ledger, keptSince('dead_letters'))),
    windowsMs: Math.max(since, samples, keptSince('rollups')),
    orderedMs: Math.max(since, samples, keptSince('windows')),
    pointsMs: Math.max(since, samples, keptSince('points')),
    keptMs: samples,
    notes,
  }
}

async function tableStatements(target: StoreTarget): Promise<Map<string, string>> {
  const rows = await target.query<{ name: string; statement: string }>(
    `SELECT name, create_table_query AS statement FROM system.tables WHERE database = 'millrace'`,
  )
  const statements = new Map(rows.map(({ name, statement }) => [name, statement]))
  if (statements.has('ledger')) return statements
  const advice = 'start an engine of this version on it once'
  throw new AuditError('NO_LEDGER', `the database millrace at ${target.name} has no ledger: ${advice}`)
}

/** When an older database got its ledger; EVER_MS when it was made with one. */
async function ledgerBegin(target: StoreTarget): Promise<number> {
  const [row] = await target.query<{ first: number; applied_ms: string }>(
    `SELECT toUInt32(min(version)) AS first,
      toString(toUnixTimestamp64Milli(minIf(applied, version >= {version:UInt32}))) AS applied_ms
    FROM millrace.migrations`,
    { version: LEDGER_VERSION },
  )
  return row.first < LEDGER_VERSION ? wholeMinute(Number(row.applied_ms)) : EVER_MS
}

async function storeNow(target: StoreTarget): Promise<number> {
  const [row] = await target.query<{ ms: string }>('SELECT toString(toUnixTimestamp64Milli(now64(3))) AS ms')
  return Number(row.ms)
}

/** The shortest interval in the statement's TTL clauses; null without one, NaN when it is written otherwise. */
export function shortestTtlMs(createStatement: string): number | null {
  const clauses = createStatement.match(/\bTTL\b.*?(?=\bSETTINGS\b|$)/s)
  if (clauses === null) return null
  const intervals = [...clauses[0].matchAll(/toInterval([A-Z][a-z]+)\((\d+)\)/g)]
  return intervals.length === 0
    ? Number.NaN
    : Math.min(...intervals.map(([, unit, count]) => Number(count) * (UNIT_MS[unit] ?? Number.NaN)))
}

/** The first whole minute that does not begin before `ms`. */
function wholeMinute(ms: number): number {
  return Number.isFinite(ms) ? Math.ceil(ms / MINUTE_MS) * MINUTE_MS : ms
}

function iso(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}
