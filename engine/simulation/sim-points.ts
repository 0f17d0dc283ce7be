/**
 * The table `points` of the simulated store, and in place of its materialized views the downsamplers' oracle. Invariant: for each point
 * the row of the greatest version is known, of equal ones the last.
 */
import type { Point } from '../../operators/downsample/downsample-fixture.ts'
import type { StoredPoint } from '../../operators/downsample/kept-line.ts'
import { pointLabel, type WindowPointSpec } from '../../operators/downsample/point-spec.ts'
import { pointsOf } from '../../operators/downsample/points-oracle.ts'
import type { OrderedReading } from '../../operators/ordered-oracle.ts'
import { type BlockRow, seriesOf } from './block-rows.ts'
import { SimulationError } from './simulation-error.ts'

const METHODS: readonly string[] = [
  'mean',
  'min-max',
  'm4',
  'lttb',
  'minmax-lttb',
] satisfies WindowPointSpec['method'][]

interface PointVersion extends StoredPoint {
  version: number
  isDeleted: boolean
}

export function isAmendmentOfPoints(row: BlockRow): boolean {
  return METHODS.includes(String(row('kind')))
}

/** The readings that downsamplers take. */
export function numbersOf(samples: readonly OrderedReading[]): Point[] {
  return samples.flatMap(({ ts, value }) =>
    typeof value === 'number' && Number.isFinite(value) ? [{ ts, value }] : [],
  )
}

export class SimPoints {
  /** By series and method, and then by point. */
  #rows = new Map<string, Map<string, PointVersion>>()

  put(row: BlockRow): void {
    this.#put(`${seriesOf(row)} ${row('method')}`, {
      ts: Number(row('ts')),
      value: Number(row('value')),
      deviation: Number(row('deviation')),
      isLate: row('late') === 1,
      version: Number(row('version')),
      isDeleted: row('deleted') === 1,
    })
  }

  /** Chooses the points of the windows that it touches from the samples that are there. */
  amend(row: BlockRow, samples: readonly OrderedReading[]): void {
    const method = String(row('kind')) as WindowPointSpec['method']
    const spec = { method, widthMs: Number(row('width_ms')), points: Number(row('size')) }
    const label = String(row('window'))
    if (pointLabel(spec) !== label)
      throw new SimulationError(`an amendment of ${label} has the numbers of another`)
    const version = Number(row('version'))
    const [first, last] = ['from_ts', 'to_ts'].map((name) => Math.floor(Number(row(name)) / spec.widthMs))
    const isTouched = ({ ts }: Point) => {
      const window = Math.floor(ts / spec.widthMs)
      return window >= first && window <= last
    }
    const key = `${seriesOf(row)} ${label}`
    for (const point of this.newest(seriesOf(row), label))
      if (isTouched(point)) this.#put(key, { ...point, version, isDeleted: true })
    for (const point of pointsOf(spec, numbersOf(samples).filter(isTouched)))
      this.#put(key, { ...point, deviation: Number.NaN, isLate: false, version, isDeleted: false })
  }

  /** Of a downsampler and a series; deleted ones are left out. */
  newest(series: string, label: string): StoredPoint[] {
    return [...(this.#rows.get(`${series} ${label}`)?.values() ?? [])].filter(({ isDeleted }) => !isDeleted)
  }

  #put(key: string, point: PointVersion): void {
    const rows = this.#rows.get(key) ?? new Map<string, PointVersion>()
    this.#rows.set(key, rows)
    const place = `${point.isLate} ${point.ts} ${point.value}`
    const known = rows.get(place)
    if (known === undefined || known.version <= point.version) rows.set(place, point)
  }
}
