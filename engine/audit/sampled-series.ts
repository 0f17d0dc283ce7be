/** A few series that change from hour to hour: what would be dear for all is compared for them. */
import type { StoreTarget } from '../store/target.ts'

const SERIES_COUNT_MAX = 20

export interface SampledSeries {
  device: string
  metric: string
}

/** Of those that `condition` takes, with no more readings than that and none that arrived since `quietSinceMs`. */
export function chooseSeries(
  target: StoreTarget,
  stream: string,
  condition: string,
  quietSinceMs: number,
  readingCountMax: number,
): Promise<SampledSeries[]> {
  return target.query<SampledSeries>(
    `SELECT toString(device) AS device, toString(metric) AS metric FROM millrace.samples
    WHERE stream = {stream:String} AND ${condition}
    GROUP BY device, metric
    HAVING max(toUnixTimestamp64Milli(arrival)) < {quiet:Int64} AND count() <= ${readingCountMax}
    ORDER BY cityHash64(device, metric, {salt:UInt32}) LIMIT ${SERIES_COUNT_MAX}`,
    {
      stream,
      quiet: Math.min(quietSinceMs, Number.MAX_SAFE_INTEGER),
      salt: Math.floor(Date.now() / 3_600_000),
    },
  )
}

/** Whether a row is of one of the series, which come as `chosenParams`. */
export const IS_CHOSEN = `(toString(device), toString(metric)) IN (
  SELECT pair.1, pair.2 FROM (SELECT arrayJoin(arrayZip({devices:Array(String)}, {metrics:Array(String)})) AS pair))`

export function chosenParams(series: readonly SampledSeries[]): { devices: string[]; metrics: string[] } {
  return { devices: series.map(({ device }) => device), metrics: series.map(({ metric }) => metric) }
}
