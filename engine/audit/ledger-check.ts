/**
 * The ledger against itself and against the tables, minute by minute of arrival, added up in ClickHouse: what comes
 * back is bounded whatever is stored. Values go in as query parameters.
 */
import type { StoreTarget } from '../store/target.ts'
import { DIFFERENCE_COUNT_MAX, type Difference, minuteText } from './difference.ts'
import { IS_IN_LEDGER } from './refused-rows.ts'

const MINUTE_MS = 60_000

/** What the ledger says of a stream, in all. */
export interface LedgerSums {
  stream: string
  accepted: number
  stored: number
  filtered: number
  deadLettered: number
  duplicate: number
  amended: number
  messages: number
  difference: number
}

/** A table's rows beside the ledger's count of them. */
export interface TableSums {
  table: 'samples' | 'dead_letters'
  stream: string
  /** In the minutes that are compared. */
  ledger: number
  rows: number
  /** By how many rows minutes differ that may still change: a batch is on its way. */
  inFlight: number
}

export interface Checked<T> {
  sums: T[]
  differences: Difference[]
  /** Of which `differences` holds the first. */
  differenceCount: number
}

/** Accepted = stored + filtered + dead-lettered + duplicate, in every minute. */
export async function checkBalance(
  target: StoreTarget,
  sinceMs: number | null,
): Promise<Checked<LedgerSums>> {
  const rows = await target.query<BalanceRow>(
    `SELECT stream, toString(sum(accepted)) AS s_accepted, toString(sum(stored)) AS s_stored,
      toString(sum(filtered)) AS s_filtered, toString(sum(dead_lettered)) AS s_dead_lettered,
      toString(sum(duplicate)) AS s_duplicate, toString(sum(amended)) AS s_amended,
      toString(sum(messages)) AS s_messages, toString(sum(difference)) AS s_difference,
      toString(countIf(difference != 0)) AS wrong_count,
      groupArrayIf({max:UInt32})((seconds, accepted, accepted - difference), difference != 0) AS wrong
    FROM (SELECT * REPLACE (toInt64(accepted) AS accepted), toInt64(toUnixTimestamp(minute)) AS seconds
      FROM millrace.ledger_balance ORDER BY minute)
    WHERE seconds * 1000 >= {since:Int64} GROUP BY stream ORDER BY stream`,
    { max: DIFFERENCE_COUNT_MAX, since: Math.floor(sinceMs ?? 0) },
  )
  const differences = rows.flatMap(({ stream, wrong }) =>
    sortedTriples(wrong).map(([seconds, accepted, accounted]): Difference => {
      const at = minuteText(seconds * 1000)
      const text = `ledger of ${stream} at ${at}: ${accepted} accepted, ${accounted} accounted for`
      return { check: 'ledger', stream, at, expected: accepted, found: accounted, text }
    }),
  )
  return {
    sums: rows.map(ledgerSums),
    differences: differences.slice(0, DIFFERENCE_COUNT_MAX),
    differenceCount: rows.reduce((sum, { wrong_count }) => sum + Number(wrong_count), 0),
  }
}

/** Not named as the view's columns are: ClickHouse would take them for these. */
interface BalanceRow {
  stream: string
  s_accepted: string
  s_stored: string
  s_filtered: string
  s_dead_lettered: string
  s_duplicate: string
  s_amended: string
  s_messages: string
  s_difference: string
  wrong_count: string
  wrong: Triple[]
}

function ledgerSums(row: BalanceRow): LedgerSums {
  return {
    stream: row.stream,
    accepted: Number(row.s_accepted),
    stored: Number(row.s_stored),
    filtered: Number(row.s_filtered),
    deadLettered: Number(row.s_dead_lettered),
    duplicate: Number(row.s_duplicate),
    amended: Number(row.s_amended),
    messages: Number(row.s_messages),
    difference: Number(row.s_difference),
  }
}

/**
 * A table against the ledger's column for it. Minutes before `sinceMs` are left out; those from `inFlightMs` on may
 * differ, because batches are on their way.
 */
export async function checkTable(
  target: StoreTarget,
  table: TableSums['table'],
  sinceMs: number,
  inFlightMs: number,
): Promise<Checked<TableSums>> {
  const column = table === 'samples' ? 'stored' : 'dead_lettered'
  const word = column.replace('_', '-')
  const rows = await target.query<{
    stream: string
    ledger: string
    rows: string
    inFlight: string
    wrongCount: string
    wrong: Triple[]
  }>(
    `SELECT stream, sum(in_ledger) AS ledger, sum(in_table) AS rows,
      sumIf(abs(in_table - in_ledger), is_in_flight) AS inFlight,
      countIf(is_different AND NOT is_in_flight) AS wrongCount,
      groupArrayIf({max:UInt32})((minute, in_ledger, in_table), is_different AND NOT is_in_flight) AS wrong
    FROM (
      SELECT stream, minute, sum(l) AS in_ledger, sum(t) AS in_table,
        in_ledger != in_table AS is_different, minute >= {inFlight:Int64} AS is_in_flight
      FROM (
        SELECT toString(stream) AS stream, intDiv(toInt64(toUnixTimestamp(minute)), 60) AS minute,
          toInt64(sum(${column})) AS l, toInt64(0) AS t
        FROM millrace.ledger GROUP BY stream, minute
        UNION ALL
        SELECT toString(stream), intDiv(toUnixTimestamp64Milli(arrival), 60000) AS minute, toInt64(0),
          toInt64(count())
        FROM millrace.${table} WHERE ${table === 'dead_letters' ? IS_IN_LEDGER : '1'} GROUP BY stream, minute
      )
      WHERE minute >= {since:Int64} GROUP BY stream, minute ORDER BY minute
    )
    GROUP BY stream ORDER BY stream`,
    { max: DIFFERENCE_COUNT_MAX, since: minuteNumber(sinceMs), inFlight: minuteNumber(inFlightMs) },
  )
  const differences = rows.flatMap(({ stream, wrong }) =>
    sortedTriples(wrong).map(([minute, expected, found]): Difference => {
      const at = minuteText(minute * MINUTE_MS)
      const text = `${table} of ${stream} at ${at}: the ledger says ${expected} ${word}, the table has ${found}`
      return { check: table, stream, at, expected, found, text }
    }),
  )
  return {
    sums: rows.map(({ stream, ledger, rows: inTable, inFlight }) => {
      return { table, stream, ledger: Number(ledger), rows: Number(inTable), inFlight: Number(inFlight) }
    }),
    differences: differences.slice(0, DIFFERENCE_COUNT_MAX),
    differenceCount: rows.reduce((sum, { wrongCount }) => sum + Number(wrongCount), 0),
  }
}

/** 64-bit numbers may come as strings. */
export type Triple = [string | number, string | number, string | number]

export function sortedTriples(triples: readonly Triple[]): [number, number, number][] {
  const found = triples.map((triple) => triple.map(Number) as [number, number, number])
  return found.sort((a, b) => a[0] - b[0])
}

/** Minutes since the epoch, within what 64 bits hold. */
function minuteNumber(ms: number): number {
  if (Number.isFinite(ms)) return Math.floor(ms / MINUTE_MS)
  return ms < 0 ? Number.MIN_SAFE_INTEGER : Number.MAX_SAFE_INTEGER
}
