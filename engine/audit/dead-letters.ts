/**
 * Reads `dead_letters`: all of a filter goes in as query parameters, never into the statement. Payloads come whole as
 * base64, because they are any bytes at all, or only their beginning.
 */
import type { StoreTarget } from '../store/target.ts'

export interface LetterFilter {
  stream?: string
  device?: string
  reason?: string
  sinceMs?: number
}

export interface DeadLetter {
  arrivalMs: number
  stream: string
  device: string
  topic: string
  reason: string
  /** Of `listLetters` the first bytes only. */
  payload: Uint8Array
  payloadSizeBytes: number
  shard: number
  position: number
}

/** A place in the order (arrival, shard, position); replay goes on behind it. */
export type LetterPlace = Pick<DeadLetter, 'arrivalMs' | 'shard' | 'position'>

const COLUMNS = `toString(toUnixTimestamp64Milli(arrival)) AS arrivalMs, stream, device, topic, reason,
  toString(length(payload)) AS payloadSizeBytes, shard, toString(position) AS position`
const PLACE = `(toUnixTimestamp64Milli(dead_letters.arrival), toInt64(dead_letters.shard),
  toInt64(dead_letters.position))`
const PAGE_LETTER_COUNT = 100

/** The newest `limit`, newest first, each with `previewSizeBytes` of its payload. */
export async function listLetters(
  target: StoreTarget,
  filter: LetterFilter,
  limit: number,
  previewSizeBytes: number,
): Promise<DeadLetter[]> {
  const rows = await target.query<LetterRow>(
    `SELECT ${COLUMNS}, base64Encode(substring(payload, 1, {preview:UInt32})) AS payload64
    FROM millrace.dead_letters WHERE ${conditionOf(filter)}
    ORDER BY arrival DESC, dead_letters.shard DESC, dead_letters.position DESC LIMIT {limit:UInt32}`,
    { ...filter, limit, preview: previewSizeBytes },
  )
  return rows.map(letterOf)
}

/** How many a filter selects, and the newest arrival of all letters there are. */
export async function countLetters(
  target: StoreTarget,
  filter: LetterFilter,
): Promise<{ count: number; newestMs: number }> {
  const [row] = await target.query<{ n: string; newest: string }>(
    `SELECT toString(countIf(${conditionOf(filter)})) AS n,
      toString(toUnixTimestamp64Milli(max(arrival))) AS newest FROM millrace.dead_letters`,
    { ...filter },
  )
  return { count: Number(row.n), newestMs: Number(row.newest) }
}

/** The next letters behind `place` in the order of arrival, up to `untilMs`. */
export async function nextLetters(
  target: StoreTarget,
  filter: LetterFilter,
  place: LetterPlace | null,
  untilMs: number,
  limit: number,
): Promise<DeadLetter[]> {
  const from = place ?? { arrivalMs: filter.sinceMs ?? 0, shard: 0, position: -1 }
  const rows = await target.query<LetterRow>(
    `SELECT ${COLUMNS}, base64Encode(payload) AS payload64
    FROM millrace.dead_letters
    WHERE ${conditionOf(filter)}
      AND arrival >= fromUnixTimestamp64Milli({from:Int64}) AND arrival <= fromUnixTimestamp64Milli({until:Int64})
      AND ${PLACE} > ({from:Int64}, {shard:Int64}, {position:Int64})
    ORDER BY arrival, dead_letters.shard, dead_letters.position LIMIT {limit:UInt32}`,
    {
      ...filter,
      ...placeParams(from),
      until: untilMs,
      limit: Math.min(limit, PAGE_LETTER_COUNT),
    },
  )
  return rows.map(letterOf)
}

/**
 * How many letters newer than `sinceMs` have topic and payload of one that the filter selects up to `last`, by reason.
 */
export async function countAgain(
  target: StoreTarget,
  filter: LetterFilter,
  last: LetterPlace,
  sinceMs: number,
): Promise<Map<string, number>> {
  const rows = await target.query<{ reason: string; n: string }>(
    `SELECT reason, toString(count()) AS n FROM millrace.dead_letters
    WHERE arrival > fromUnixTimestamp64Milli({newest:Int64})
      AND sipHash64(topic, payload) IN (
        SELECT sipHash64(topic, payload) FROM millrace.dead_letters
        WHERE ${conditionOf(filter)} AND ${PLACE} <= ({from:Int64}, {shard:Int64}, {position:Int64})
      )
    GROUP BY reason ORDER BY count() DESC`,
    { ...filter, ...placeParams(last), newest: sinceMs },
  )
  return new Map(rows.map(({ reason, n }) => [reason, Number(n)]))
}

function placeParams({ arrivalMs, shard, position }: LetterPlace): Record<string, number> {
  return { from: arrivalMs, shard, position }
}

interface LetterRow {
  arrivalMs: string
  stream: string
  device: string
  topic: string
  reason: string
  payload64: string
  payloadSizeBytes: string
  shard: number
  position: string
}

function letterOf({ payload64, arrivalMs, payloadSizeBytes, position, ...row }: LetterRow): DeadLetter {
  return {
    ...row,
    arrivalMs: Number(arrivalMs),
    position: Number(position),
    payloadSizeBytes: Number(payloadSizeBytes),
    payload: Buffer.from(payload64, 'base64'),
  }
}

function conditionOf({ stream, device, reason, sinceMs }: LetterFilter): string {
  const conditions = ['1']
  if (stream !== undefined) conditions.push('dead_letters.stream = {stream:String}')
  if (device !== undefined) conditions.push('dead_letters.device = {device:String}')
  if (reason !== undefined) conditions.push('dead_letters.reason = {reason:String}')
  if (sinceMs !== undefined) conditions.push('arrival >= fromUnixTimestamp64Milli({sinceMs:Int64})')
  return conditions.join(' AND ')
}
