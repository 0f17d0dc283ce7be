/**
 * Rows that ClickHouse refused and the sink has put into `dead_letters` instead (engine/sink/split.ts): letters without
 * a topic, whose payload is the row as JSON. The ledger has moved a refused reading from stored to dead-lettered, its
 * window counts it all the same; of refused rows of other tables the ledger knows nothing. SQL, without user's values.
 */

const IS_REFUSED = `topic = '' AND startsWith(reason, 'refused by ClickHouse')`

/** Of a row of `dead_letters`: the ledger counts it. */
export const IS_IN_LEDGER = `NOT (${IS_REFUSED} AND JSONExtractString(payload, 'table') != 'samples')`

/** Finite readings of one stream that `samples` would hold: metric and `tick`, their time in ms. */
export const REFUSED_READINGS = `
  SELECT JSONExtractString(payload, 'metric') AS metric, ${timeOf('ts')} AS tick
  FROM millrace.dead_letters
  WHERE ${IS_REFUSED} AND stream = {stream:String} AND JSONExtractString(payload, 'table') = 'samples'
    AND JSONType(payload, 'value') IN ('Double', 'Int64', 'UInt64')`

/** Windows of one stream and label that `rollups` would hold: count and `start_ms`. */
export const REFUSED_WINDOWS = `
  SELECT JSONExtractUInt(payload, 'count') AS count, ${timeOf('start')} AS start_ms
  FROM millrace.dead_letters
  WHERE ${IS_REFUSED} AND stream = {stream:String} AND JSONExtractString(payload, 'table') = 'rollups'
    AND JSONExtractString(payload, 'window') = {window:String}`

function timeOf(field: string): string {
  return `toUnixTimestamp64Milli(parseDateTime64BestEffortOrZero(JSONExtractString(payload, '${field}'), 3, 'UTC'))`
}
