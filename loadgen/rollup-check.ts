/**
 * Compares `rollups_merged` with batch SQL over `samples`, in ClickHouse itself, window by window. A window
 * whose count is short may still be open: it is, until the newest reading of its series has passed its end by
 * the allowed lateness.
 */
import type { StoreClient } from './store-client.ts'

export interface WindowFindings {
  /** Width as in the table: `10s`. */
  window: string
  compared: number
  equal: number
  /** Fewer readings than in samples, and not yet due. */
  open: number
  /** Due and short, or different in any aggregate, or without samples. */
  wrong: number
  examples: string[]
}

export const WINDOWS = [
  { window: '10s', widthMs: 10_000 },
  { window: '1m', widthMs: 60_000 },
] as const

/** Rounding a sum of n doubles costs at most about n times this part of the sum of their sizes. */
const SUM_ERROR = '2.220446049250313e-16'

interface ComparedRow {
  compared: string
  equal: string
  open: string
  examples: string[]
}

/** Compares the windows of the devices that `condition` selects. */
export async function compareRollups(
  store: StoreClient,
  condition: string,
  window: string,
  widthMs: number,
  latenessMs: number,
): Promise<WindowFindings> {
  const [row] = await store.rows<ComparedRow>(comparison(condition, window, widthMs, latenessMs))
  const [compared, equal, open] = [Number(row.compared), Number(row.equal), Number(row.open)]
  return { window, compared, equal, open, wrong: compared - equal - open, examples: row.examples }
}

/**
 * One row per series and window from each side, put beside each other by a UNION: a side without one counts
 * 0.
 */
function comparison(condition: string, window: string, widthMs: number, latenessMs: number): string {
  const startMs = `intDiv(toUnixTimestamp64Milli(ts), ${widthMs}) * ${widthMs}`
  return `
    SELECT count() AS compared, countIf(is_equal) AS equal, countIf(NOT is_equal AND is_open) AS open,
      groupArrayIf(3)(concat(device, ' ', metric, ' ', toString(start_ms),
        ': rollups count ', toString(rollup_count), ' sum ', toString(rollup_sum),
        ', samples count ', toString(sample_count), ' sum ', toString(sample_sum)),
        NOT is_equal AND NOT is_open) AS examples
    FROM (
      SELECT *,
        rollup_count = sample_count AND rollup_min = sample_min AND rollup_max = sample_max
          AND rollup_first = sample_first AND rollup_last = sample_last
          AND abs(rollup_sum - sample_sum) <= sample_count * ${SUM_ERROR} * sample_size AS is_equal,
        rollup_count < sample_count AND rollup_rows <= 1
          AND start_ms + ${widthMs + latenessMs}
            > max(newest_ms) OVER (PARTITION BY device, metric) AS is_open
      FROM (
        SELECT device, metric, start_ms,
          sum(r_rows) AS rollup_rows, sum(r_count) AS rollup_count, sum(r_sum) AS rollup_sum,
          sum(r_min) AS rollup_min, sum(r_max) AS rollup_max,
          sum(r_first) AS rollup_first, sum(r_last) AS rollup_last,
          sum(s_count) AS sample_count, sum(s_sum) AS sample_sum, sum(s_size) AS sample_size,
          sum(s_min) AS sample_min, sum(s_max) AS sample_max, sum(s_first) AS sample_first,
          sum(s_last) AS sample_last, max(s_newest) AS newest_ms
        FROM (
          SELECT toString(device) AS device, toString(metric) AS metric,
            toUnixTimestamp64Milli(start) AS start_ms, toUInt64(1) AS r_rows,
            toUInt64(count) AS r_count, sum AS r_sum,
            min AS r_min, max AS r_max, first AS r_first, last AS r_last,
            toUInt64(0) AS s_count, 0. AS s_sum, 0. AS s_size, 0. AS s_min, 0. AS s_max,
            0. AS s_first, 0. AS s_last, toInt64(0) AS s_newest
          FROM millrace.rollups_merged WHERE ${condition} AND window = '${window}'
          UNION ALL
          SELECT toString(device) AS device, toString(metric) AS metric,
            ${startMs} AS start_ms, toUInt64(0), toUInt64(0), 0., 0., 0., 0., 0.,
            count(), sum(value), sum(abs(value)), min(value), max(value),
            argMin(value, ts), argMax(value, ts), max(toUnixTimestamp64Milli(ts))
          FROM millrace.samples WHERE ${condition} GROUP BY device, metric, start_ms
        )
        GROUP BY device, metric, start_ms
      )
    )`
}
