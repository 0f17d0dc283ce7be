/** For tests: messages into a pipeline with a config, and what it holds afterwards, as objects. */
import { hashBytes } from '../../base/hash.ts'
import {
  alignRecord,
  MessageRoute,
  messageRecordSize,
  RecordViews,
  writeMessageRecord,
} from '../../codecs/journal/record.ts'
import { StateReader, StateWriter } from '../../codecs/state.ts'
import type { MillraceOptions } from '../config.ts'
import { checkConfig } from '../config-check.ts'
import { durationMs } from '../config-value.ts'
import { Pipeline } from '../shard/pipeline.ts'

export const ARRIVAL_MS = 1_750_000_000_000

export interface Row {
  device: string
  metric: string
  tsMs: number
  value: number | string
}

export interface Letter {
  topic: string
  device: string
  reason: string
  payload: string
}

export function pipelineOf(options: MillraceOptions): Pipeline {
  const config = checkConfig(options)
  return new Pipeline({
    ...config.windows,
    widthsMs: config.windows.widths.map(durationMs),
    inFlightMax: 64,
    metricsPerDeviceMax: config.limits.metricsPerDeviceMax,
    detectedSeriesMax: config.limits.detectedSeriesMax,
    streams: config.streams.map((stream, index) => ({ stream, pipeline: config.pipelines[index] })),
  })
}

/** Processes one message. The device is `topic`'s level with that index. */
export function send(
  pipeline: Pipeline,
  topic: string,
  payload: unknown,
  { stream = 0, deviceLevel = 1, arrivalMs = ARRIVAL_MS } = {},
): void {
  const name = Buffer.from(topic)
  const body = payload instanceof Uint8Array ? payload : Buffer.from(textOf(payload))
  const size = messageRecordSize(name.length, body.length)
  const views = new RecordViews(new ArrayBuffer(alignRecord(size) + 64))
  const route = new MessageRoute()
  route.stream = stream
  const levels = topic.split('/')
  route.deviceStart = Buffer.byteLength(
    levels
      .slice(0, deviceLevel)
      .map((level) => `${level}/`)
      .join(''),
  )
  route.deviceSize = Buffer.byteLength(levels[deviceLevel])
  route.deviceHash = hashBytes(name, route.deviceStart, route.deviceStart + route.deviceSize)
  writeMessageRecord(views, 0, route, 0, arrivalMs, 0, 0, name, 0, name.length, body, 0, body.length)
  pipeline.process(views, 0, alignRecord(size), 0)
}

function textOf(payload: unknown): string {
  return typeof payload === 'string' ? payload : JSON.stringify(payload)
}

export function rowsOf(pipeline: Pipeline): Row[] {
  const { readings, seriesOfRow, series, devices, metrics } = pipeline
  return Array.from({ length: readings.count }, (_, row) => {
    const of = seriesOfRow[row]
    const size = readings.textSize[row]
    const start = readings.textStart[row]
    return {
      device: Buffer.from(devices.name(series.device[of])).toString(),
      metric: metrics.text(series.metric[of]),
      tsMs: readings.tsMs[row],
      value:
        size < 0 ? readings.value[row] : Buffer.from(readings.text.slice(start, start + size)).toString(),
    }
  })
}

export function lettersOf({ deadLetters: letters }: Pipeline): Letter[] {
  const text = (start: number, size: number) =>
    Buffer.from(letters.bytes.slice(start, start + size)).toString()
  return letters.reason.map((reason, row) => ({
    topic: text(letters.topicStart[row], letters.topicSize[row]),
    device: text(letters.deviceStart[row], letters.deviceSize[row]),
    reason,
    payload: text(letters.payloadStart[row], letters.payloadSize[row]),
  }))
}

export interface Books {
  accepted: number
  stored: number
  filtered: number
  deadLettered: number
}

export function booksOf({ ledger }: Pipeline): Books {
  const sum = (column: Float64Array) =>
    column.subarray(0, ledger.count).reduce((total, value) => total + value, 0)
  return {
    accepted: sum(ledger.accepted),
    stored: sum(ledger.stored),
    filtered: sum(ledger.filtered),
    deadLettered: sum(ledger.deadLettered),
  }
}

/** A pipeline with the state of this one, which has no rows. */
export function reloaded(
  pipeline: Pipeline,
  options: MillraceOptions,
  edit: (image: Buffer) => void = () => {},
): Pipeline {
  const writer = new StateWriter()
  pipeline.save(writer)
  const parts = writer.parts.map((part) => Buffer.from(part.buffer, part.byteOffset, part.byteLength))
  const copy = pipelineOf(options)
  const image = Buffer.concat(parts)
  edit(image)
  copy.load(new StateReader(new Uint8Array(image)))
  return copy
}
