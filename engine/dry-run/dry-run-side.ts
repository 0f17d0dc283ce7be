/**
 * One config over journalled messages: a pipeline of its own, and the rows that it gives as keys and values that can be compared
 * with another's. Owned by one job of the dry run.
 */

import { RecordKind, type RecordViews } from '../../codecs/journal/record.ts'
import { PointKind } from '../../operators/downsample/point-rows.ts'
import { WINDOW_CELLS, WindowCell } from '../../operators/ordered-rows.ts'
import type { OrderedWindows } from '../../operators/ordered-windows.ts'
import type { LimitsConfig, WindowConfig } from '../config.ts'
import { alertsOf } from '../shard/alert-blocks.ts'
import type { OperatorSet } from '../shard/operator-set.ts'
import { Pipeline } from '../shard/pipeline.ts'
import type { PipelineStream } from '../shard/pipeline-stream.ts'
import { RoutedRecords } from './routed-records.ts'
import type { Pane, SideRow } from './row-comparison.ts'

export interface SideSettings {
  streams: readonly PipelineStream[]
  windows: WindowConfig
  metricsPerDeviceMax: number
  detectedSeriesMax?: number
  inFlightMax: LimitsConfig['receiveMaximum']
}

/** Without the start, which is in the key. */
const CELLS = Object.entries(WindowCell).filter(([cell]) => cell !== 'startMs')

export class DryRunSide {
  /** Messages that no stream takes. */
  unmatchedCount = 0
  #pipeline: Pipeline
  #records: RoutedRecords
  #streams: string[]

  constructor({ streams, windows, ...limits }: SideSettings) {
    this.#pipeline = new Pipeline({ ...windows, ...limits, streams })
    this.#records = new RoutedRecords(streams.map(({ stream }) => stream))
    this.#streams = streams.map(({ stream }) => stream.name)
  }

  /** Takes the record at `offset`, which stands at `position` in the journal; returns whether it is a message. */
  process(views: RecordViews, offset: number, size: number, position: number): boolean {
    const kind = views.bytes[offset + 4]
    if (kind !== RecordKind.MQTT_PUBLISH && kind !== RecordKind.WEBSOCKET_FRAME) {
      this.#pipeline.process(views, offset, offset + size, position)
      return false
    }
    const routed = this.#records.route(views, offset)
    if (routed === 0) this.unmatchedCount++
    else this.#pipeline.process(this.#records.views, 0, routed, position)
    return true
  }

  tick(timeMs: number): void {
    this.#pipeline.tick(timeMs)
  }

  flush(): void {
    this.#pipeline.flush()
  }

  /** What has come since it was called last. */
  takeRows(): SideRow[] {
    const rows = [...this.#samples(), ...this.#rollups(), ...this.#anomalies(), ...this.#letters()]
    this.#pipeline.clearRows()
    return rows
  }

  #samples(): SideRow[] {
    const { readings, seriesOfRow } = this.#pipeline
    const { count, textSize, textStart, text, value, tsMs } = readings
    return Array.from({ length: count }, (_, row) => {
      const size = textSize[row]
      const said = size < 0 ? String(value[row]) : JSON.stringify(decode(text, textStart[row], size))
      const { stream, name } = this.#series(seriesOfRow[row])
      const key = `${name} ${new Date(tsMs[row]).toISOString()}`
      return { table: 'samples', stream, window: null, key, value: said }
    })
  }

  #rollups(): SideRow[] {
    return this.#pipeline.operators.sets.flatMap((set) => [
      ...this.#rollupsOf(set),
      ...this.#windowsOf(set),
      ...this.#pointsOf(set),
    ])
  }

  #rollupsOf({ merging, plan }: OperatorSet): SideRow[] {
    if (merging === null) return []
    const { closed } = merging
    return Array.from({ length: closed.count }, (_, row) => {
      const { stream, name } = this.#series(closed.series[row])
      const { n, sum, min, max, first, firstTsMs, last, lastTsMs } = closed
      const key = `${name} ${new Date(closed.startMs[row]).toISOString()}`
      const pane: Pane = {
        count: n[row],
        sum: sum[row],
        min: min[row],
        max: max[row],
        first: [firstTsMs[row], first[row]],
        last: [lastTsMs[row], last[row]],
      }
      return { table: 'rollups', stream, window: plan.merging[closed.window[row]].label, key, pane }
    })
  }

  /** What was asked for; late readings' amendments are rows that ClickHouse would compute. */
  #windowsOf({ ordered, plan }: OperatorSet): SideRow[] {
    if (ordered === null) return []
    const { rows, amendments } = ordered
    const windows = Array.from({ length: rows.count }, (_, row): SideRow => {
      const { stream, name } = this.#series(rows.series[row])
      const at = row * WINDOW_CELLS
      const cells = CELLS.map(([cell, index]) => [cell, rows.cells[at + index]] as const)
      const said = cells
        .filter(([, value]) => !Number.isNaN(value))
        .map(([cell, value]) => `${cell} ${value}`)
      const key = `${name} ${new Date(rows.cells[at + WindowCell.startMs]).toISOString()}`
      const latest = [...said, ...this.#statesOf(ordered, row)].join(', ')
      return { table: 'windows', stream, window: plan.ordered[rows.operator[row]].label, key, latest }
    })
    const asked = Array.from({ length: amendments.count }, (_, row): SideRow => {
      const { stream, name } = this.#series(amendments.series[row])
      const times = [amendments.fromMs[row], amendments.toMs[row]].map((ms) => new Date(ms).toISOString())
      const { label: window } = [...plan.ordered, ...plan.downsamplers][amendments.operator[row]]
      return { table: 'amendments', stream, window, key: name, value: times.join(' to ') }
    })
    return [...windows, ...asked]
  }

  #pointsOf({ ordered, plan }: OperatorSet): SideRow[] {
    if (ordered === null) return []
    const { count, series, downsampler, tsMs, value, deviation, kind } = ordered.points
    return Array.from({ length: count }, (_, row): SideRow => {
      const { stream, name } = this.#series(series[row])
      const isLate = kind[row] === PointKind.late
      const key = `${name} ${new Date(tsMs[row]).toISOString()} ${value[row]}${isLate ? ' late' : ''}`
      const kept = Number.isNaN(deviation[row]) ? 'kept' : `kept, within ${deviation[row]}`
      const latest = kind[row] === PointKind.deleted ? null : kept
      return { table: 'points', stream, window: plan.downsamplers[downsampler[row]].label, key, latest }
    })
  }

  /** Of each episode the last state. */
  #anomalies(): SideRow[] {
    return alertsOf(this.#pipeline, this.#streams).map((alert) => {
      const { stream, device, metric, detector, raisedMs, state, severity, value, score } = alert
      const key = `${device} ${metric} ${new Date(raisedMs).toISOString()}`
      const latest = `${state} ${severity}, value ${value}, score ${score}`
      return { table: 'anomalies', stream, window: detector, key, latest }
    })
  }

  #statesOf({ rows, texts }: OrderedWindows, row: number): string[] {
    const states: string[] = []
    for (let at = rows.stateStart[row]; at < rows.stateEnd[row]; at++) {
      const text = rows.stateText[at]
      const start = texts.starts[text]
      const name =
        text === 0 ? String(rows.stateNumber[at]) : decode(texts.bytes, start, texts.starts[text + 1] - start)
      states.push(`${name} for ${rows.stateMs[at]} ms`)
    }
    return states
  }

  #letters(): SideRow[] {
    const { deadLetters: letters } = this.#pipeline
    return letters.reason.map((reason, row) => {
      const payload = decode(letters.bytes, letters.payloadStart[row], Math.min(letters.payloadSize[row], 80))
      const topic = decode(letters.bytes, letters.topicStart[row], letters.topicSize[row])
      const stream = this.#streams[letters.stream[row]]
      const key = `${topic} at journal position ${letters.position[row]} ${payload}`
      return { table: 'dead_letters', stream, window: null, key, value: reason }
    })
  }

  #series(series: number): { stream: string; name: string } {
    const { devices, metrics, series: table } = this.#pipeline
    const device = table.device[series]
    const name = `${Buffer.from(devices.name(device))} ${metrics.text(table.metric[series])}`
    return { stream: this.#streams[devices.stream[device]], name }
  }
}

function decode(bytes: Uint8Array, start: number, size: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, size).toString()
}
