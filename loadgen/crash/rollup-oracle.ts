/**
 * `rollups_merged` beside what SQL makes of `samples`, for every window width there is: the definition that stands at the
 * head of the store's schema, each column of it. Nothing may be open: to be asked when all windows are closed. Sums
 * and means may differ by what adding doubles in another order costs.
 */
import type { StoreClient } from '../store-client.ts'

export interface RollupFindings {
  /** Width as in the table: `10s`. */
  window: string
  compared: number
  /** Readings that the windows count. */
  readings: number
  wrong: number
  examples: string[]
}

const SUM_ERROR = '2.220446049250313e-16'
const UNIT_SECONDS: Record<string, number> = { s: 1, m: 60, h: 3600 }

/** Compares the windows of all devices whose names start with `prefix`. Throws LoadError. */
export async function compareAllRollups(store: StoreClient, prefix: string): Promise<RollupFindings[]> {
  const widths = await store.rows<{ window: string }>(
    `SELECT DISTINCT toString(window) AS window FROM millrace.rollups ORDER BY window`,
  )
  const findings: RollupFindings[] = []
  for (const { window } of widths) {
    const width = /^(\d+)([smh])$/.exec(window)
    if (width === null) {
      findings.push({ window, compared: 0, readings: 0, wrong: 1, examples: [`no width: ${window}`] })
      continue
    }
    const seconds = Number(width[1]) * UNIT_SECONDS[width[2]]
    const [row] = await store.rows<
      Record<'compared' | 'readings' | 'wrong', string> & { examples: string[] }
    >(comparison(prefix, window, seconds * 1000))
    const [compared, readings, wrong] = [Number(row.compared), Number(row.readings), Number(row.wrong)]
    findings.push({ window, compared, readings, wrong, examples: row.examples })
  }
  return findings
}

/** Each side gives at most one tuple per series and window; they stand beside each other in arrays. */
function comparison(prefix: string, window: string, widthMs: number): string {
  const condition = `startsWith(toString(device), '${prefix}')`
  const millis = (column: string): string => `toUnixTimestamp64Milli(${column})`
  const startMs = `intDiv(${millis('ts')}, ${widthMs}) * ${widthMs}`
  return `
    SELECT count() AS compared, sum(rollup.1) AS readings, countIf(NOT is_equal) AS wrong,
      groupArrayIf(3)(concat(key, ': rollups ', toString(rollup), ', samples ', toString(sample)),
        NOT is_equal) AS examples
    FROM (
      SELECT concat(stream, ' ', device, ' ', metric, ' ', toString(start_ms)) AS key,
        rollups[1] AS rollup, samples[1] AS sample, sizes[1] AS size,
        length(rollups) = 1 AND length(samples) = 1
          AND rollup.1 = sample.1 AND rollup.4 = sample.4 AND rollup.5 = sample.5
          AND rollup.6 = sample.6 AND rollup.7 = sample.7 AND rollup.8 = sample.8 AND rollup.9 = sample.9
          AND abs(rollup.2 - sample.2) <= sample.1 * ${SUM_ERROR} * size
          AND abs(rollup.3 - sample.3) <= 2 * ${SUM_ERROR} * size AS is_equal
      FROM (
        SELECT stream, device, metric, start_ms,
          groupArrayIf(columns, side = 'r') AS rollups, groupArrayIf(columns, side = 's') AS samples,
          groupArrayIf(size, side = 's') AS sizes
        FROM (
          SELECT 'r' AS side, toString(stream) AS stream, toString(device) AS device,
            toString(metric) AS metric, ${millis('start')} AS start_ms, 0. AS size,
            tuple(toUInt64(count), toFloat64(sum), toFloat64(mean), toFloat64(min), toFloat64(max),
              toFloat64(first), ${millis('first_ts')}, toFloat64(last), ${millis('last_ts')}) AS columns
          FROM millrace.rollups_merged WHERE window = '${window}' AND ${condition}
          UNION ALL
          SELECT 's' AS side, toString(stream) AS stream, toString(device) AS device,
            toString(metric) AS metric, ${startMs} AS start_ms, sum(abs(value)) AS size,
            tuple(count(), sum(value), avg(value), min(value), max(value),
              argMin(value, (ts, value)), ${millis('min(ts)')},
              argMax(value, (ts, value)), ${millis('max(ts)')}) AS columns
          FROM millrace.samples WHERE NOT isNaN(value) AND ${condition}
          GROUP BY stream, device, metric, start_ms
        )
        GROUP BY stream, device, metric, start_ms
      )
    )`
}
