/**
 * Readings of a message that are further ahead of their arrival than the guard: each becomes a dead letter with a payload that
 * would give it again. Owned by the shard's thread.
 */
import type { ReadingColumns } from '../../codecs/columns.ts'
import type { MetricNames } from '../../codecs/metric-names.ts'

const encoder = new TextEncoder()

export function quarantineReason(aheadGuardMs: number): string {
  return `quarantined: more than ${aheadGuardMs} ms ahead of its arrival`
}

/** The reading of a row as a JSON payload: its time and its metric, without what the topic put before that. */
export function readingPayload(
  columns: ReadingColumns,
  names: MetricNames,
  row: number,
  prefixSize: number,
): Uint8Array {
  const size = columns.textSize[row]
  const start = columns.textStart[row]
  const value =
    size < 0 ? columns.value[row] : new TextDecoder().decode(columns.text.slice(start, start + size))
  // What a number of JSON can't be, a text can.
  const isPlain = typeof value === 'string' || Number.isFinite(value)
  const metric = new TextDecoder().decode(names.bytes(columns.metric[row]).subarray(prefixSize))
  const payload = `{"ts":${columns.tsMs[row]},${JSON.stringify(metric)}:${JSON.stringify(isPlain ? value : String(value))}}`
  return encoder.encode(payload)
}
