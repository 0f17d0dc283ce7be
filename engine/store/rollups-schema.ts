/**
 * The SQL side of what rollups hold: how sketches are read, the view with one row per window, and what older databases lack. A view
 * may not need more rights than reading, so the expressions stand in it; the functions are for analysts' own merges, as in
 * `SELECT millrace_quantile(0.95, sumMap(quantiles)) FROM millrace.rollups`, and a server may refuse to create them.
 */
import { columnDefinitions, DATABASE, ROLLUPS_EXTRA_COLUMNS } from './columns.ts'

/** Of operators/quantile-sketch.ts: bins to an octave times octaves that are kept below the greatest magnitude. */
const SPAN = 64 * 64
/** Of operators/distinct-count.ts. */
const REGISTERS = 4096

/**
 * The `q` quantile of bins (keys, counts): the value that quantileExact gives, within 1/128 of it; NaN without bins. A key is
 * the first 17 bits of a float's magnitude with its sign, and stands for the middle of the floats that begin so.
 */
function quantileSql(q: string, bins: string): string {
  const total = `arraySum(${bins}.2)`
  const rank = `least(toUInt64(floor(${q} * ${total})), ${total} - 1)`
  const key = `${bins}.1[arrayFirstIndex(seen -> seen > ${rank}, arrayCumSum(${bins}.2))]`
  const floor = `greatest(abs(${bins}.1[1]), abs(${bins}.1[-1])) - ${SPAN}`
  const middle = 'sign(key) * reinterpretAsFloat64(bitShiftLeft(toUInt64(abs(key)) * 2 + 1, 45))'
  return `if(empty(${bins}.1), nan, arrayMap(key -> if(abs(key) < ${floor}, 0, ${middle}), [${key}])[1])`
}

/**
 * The distinct count that HyperLogLog registers (register, value) tell, those not listed being 0; NaN without any. Ertl's estimator
 * (arXiv 1702.01284) without its correction for full registers, of which 32 bits leave none; its sigma has 18 terms at most.
 */
function distinctSql(registers: string): string {
  const empty = `(1 - length(${registers}.1) / ${REGISTERS})`
  const sigma = `${empty} + arraySum(k -> pow(${empty}, exp2(k)) * exp2(k - 1), range(1, 19))`
  const sum = `arraySum(value -> exp2(-value), ${registers}.2) + ${REGISTERS} * (${sigma})`
  return `if(empty(${registers}.1), nan, round(${REGISTERS ** 2 / (2 * Math.LN2)} / (${sum})))`
}

/** For analysts; the last statements, since a server's user may lack the right to them. */
export const FUNCTIONS = [
  `CREATE OR REPLACE FUNCTION millrace_quantile AS (q, bins) -> ${quantileSql('q', 'bins')}`,
  `CREATE OR REPLACE FUNCTION millrace_distinct AS registers -> ${distinctSql('registers')}`,
]

/** For databases that are older than version 3. */
export const ADD_EXTRA_COLUMNS = `ALTER TABLE ${DATABASE}.rollups ${ROLLUPS_EXTRA_COLUMNS.map(
  (column) => `ADD COLUMN IF NOT EXISTS ${columnDefinitions([column])}`,
).join(', ')}`

/** Sketches may say a little more or less than what was there; the window's extremes are exact. */
function quantileColumn(q: number): string {
  const quantile = quantileSql(String(q), 'r_quantiles')
  return `if(empty(r_quantiles.1), nan, greatest(min, least(max, ${quantile}))) AS q${q * 100}`
}

/** One row per window; NaN is what was not asked for. An empty state's variance is no number, in some versions an infinite one. */
export const ROLLUPS_MERGED = `CREATE OR REPLACE VIEW ${DATABASE}.rollups_merged AS
  SELECT stream, device, metric, window, start,
    r_count AS count, r_sum AS sum, r_sum / r_count AS mean, toFloat64(r_min) AS min, toFloat64(r_max) AS max,
    r_first.value AS first, r_first.ts AS first_ts, r_last.value AS last, r_last.ts AS last_ts,
    if(isFinite(r_variance), r_variance, nan) AS variance,
    ${distinctSql('r_distinct')} AS distinct,
    ${[0.5, 0.9, 0.99].map(quantileColumn).join(', ')}
  FROM (
    SELECT stream, device, metric, window, start,
      sum(count) AS r_count, sum(sum) + sum(sum_error) AS r_sum, min(min) AS r_min, max(max) AS r_max,
      min(first) AS r_first, max(last) AS r_last,
      varPopStableMerge(variance) AS r_variance, maxMap(distinct) AS r_distinct, sumMap(quantiles) AS r_quantiles
    FROM ${DATABASE}.rollups
    GROUP BY stream, device, metric, window, start
  )`
