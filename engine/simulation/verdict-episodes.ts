/**
 * Judges the table `anomalies` of a run that has ended, and the alerts that were told: the episodes of a series take turns, each one
 * raised, then cleared; whatever was told is stored, and whatever is stored was told.
 */
import type { Alert } from '../shard/alert.ts'
import type { NativeValue } from './native-reader.ts'
import { SimulationError } from './simulation-error.ts'

type Row = Record<string, NativeValue | null>

/** `areTurnsKept`: nothing made a detector begin anew. Throws SimulationError. Returns how many episodes there are. */
export function judgeEpisodes(rows: readonly Row[], alerts: readonly Alert[], areTurnsKept: boolean): number {
  const versions = Map.groupBy(rows, ({ stream, device, metric, detector }) =>
    [stream, device, metric, detector].join(' '),
  )
  const told = new Set(
    alerts.map((alert) => `${nameOf(alert)} ${alert.raisedMs} ${alert.state} ${alert.atMs}`),
  )
  const stored = new Map<string, number>()
  for (const [series, unordered] of versions) {
    const order = (a: Row, b: Row) =>
      Number(a.version) - Number(b.version) || Number(a.raised) - Number(b.raised)
    let open: Row | null = null
    for (const row of [...unordered].sort(order)) {
      const { state, raised, updated, cleared } = row
      if (!told.has(`${series} ${raised} ${state} ${updated}`))
        fail(`${series}: nobody was told of ${state} ${updated}`)
      if (Number(cleared) !== (state === 'cleared' ? Number(updated) : 0))
        fail(`${series} is ${state} and cleared ${cleared}`)
      stored.set(`${series} ${raised}`, Number(row.version))
      if (!areTurnsKept) continue
      if (open !== null && open.raised !== raised) fail(`${series}: an episode within another, ${raised}`)
      open = state === 'cleared' ? null : row
    }
  }
  for (const alert of alerts)
    if (!stored.has(`${nameOf(alert)} ${alert.raisedMs}`))
      fail(`${nameOf(alert)}: ${alert.raisedMs} was told and is lost`)
  return stored.size
}

function nameOf({ stream, device, metric, detector }: Alert): string {
  return [stream, device, metric, detector].join(' ')
}

function fail(message: string): never {
  throw new SimulationError(message)
}
