/** `millrace check`: reads a config as `start` would, and says what it would do. */
import type { DetectorSpec } from '../../operators/detect/detector-spec.ts'
import { durationLabel } from '../../operators/window-spec.ts'
import type { MillraceConfig, Selection, StreamDetector, StreamOperator } from '../config.ts'
import { loadConfig } from '../config-file.ts'
import { ConfigError } from '../config-value.ts'
import { EngineError } from '../engine-error.ts'
import { detectorSizeBytes, stateSizeBytes } from '../state-estimate.ts'
import { tablesOf, VIEWS } from '../window-tables.ts'
import { type CommandIo, readOptions, UsageError } from './command.ts'

const HELP = `millrace check [config.ts]: says what a config would do, without starting anything

  --json    as one JSON object

Exit codes: 0 the config is sound, 1 it is not, 2 the options make no sense.
`

export interface StreamSummary {
  name: string
  topic: string
  codec: string
  /** In words; null for all. */
  metrics: string | null
  units: Record<string, string>
  steps: string[]
  /** Null: no rows in samples. */
  samples: { retention: string | null } | null
  branches: string[]
  operators: {
    window: string
    aggregates: string[]
    early: string | null
    tables: string[]
    retention: string | null
    /** Numbers of those that feed it; empty when all do. */
    branches: number[]
    stateSizeBytes: number
  }[]
  detectors: {
    name: string
    detector: string
    /** Null: all of the branches'. */
    metrics: string[] | null
    /** In words. */
    settings: string
    branches: number[]
    stateSizeBytes: number
  }[]
  /** Of a series with all of them, which share what they can. */
  stateSizeBytes: number
}

export async function checkCommand(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = readOptions(args, {
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h' },
  })
  if (values.help) {
    io.stdout.write(HELP)
    return 0
  }
  if (positionals.length > 1) throw new UsageError('takes one config file')
  const [file = null] = positionals
  try {
    const streams = summaryOf(await loadConfig(file))
    if (values.json) io.stdout.write(`${JSON.stringify({ isSound: true, streams })}\n`)
    else io.stdout.write(`${file ?? 'the default config'} is sound\n${streams.map(textOf).join('')}`)
    return 0
  } catch (error) {
    if (!(error instanceof ConfigError || error instanceof EngineError)) throw error
    if (values.json) io.stdout.write(`${JSON.stringify({ isSound: false, error: error.message })}\n`)
    else io.stderr.write(`millrace check: ${error.message}\n`)
    return 1
  }
}

function summaryOf(config: MillraceConfig): StreamSummary[] {
  return config.streams.map(({ name, topic }, index) => {
    const pipeline = config.pipelines[index]
    const isWhole = ({ branches }: StreamOperator | StreamDetector) =>
      branches.length === pipeline.branches.length
    return {
      name,
      topic,
      codec: pipeline.codec,
      metrics: selectionText(pipeline.selection),
      units: pipeline.units,
      steps: pipeline.steps.map((step) => {
        if (step.kind === 'filter') return 'filter'
        return step.kind === 'map' ? `map ${step.metric}` : `derive ${step.name}`
      }),
      samples: pipeline.isRaw ? { retention: retentionText(pipeline.rawRetentionMs) } : null,
      branches: pipeline.branches.map(({ selection, filter }) => {
        const texts = [selectionText(selection) ?? '', filter === null ? '' : 'a filter']
        return texts.filter((text) => text !== '').join(', ') || 'all readings'
      }),
      operators: pipeline.operators.map((operator) => ({
        window: operator.label,
        aggregates: operator.spec.aggregates,
        early: retentionText(operator.spec.earlyMs),
        tables: tablesOf(operator.spec).map((table) => VIEWS[table]),
        retention: retentionText(operator.retentionMs),
        branches: isWhole(operator) ? [] : operator.branches,
        stateSizeBytes: stateSizeBytes([operator.spec], config.windows),
      })),
      detectors: pipeline.detectors.map((detector) => ({
        name: detector.label,
        detector: detector.spec.kind,
        metrics: detector.spec.metrics,
        settings: settingsText(detector.spec),
        branches: isWhole(detector) ? [] : detector.branches,
        stateSizeBytes: detectorSizeBytes(detector.spec, config.windows),
      })),
      stateSizeBytes: stateSizeBytes(
        pipeline.operators.map(({ spec }) => spec),
        config.windows,
      ),
    }
  })
}

function retentionText(ms: number | null): string | null {
  return ms === null ? null : durationLabel(ms)
}

function selectionText({ include, exclude }: Selection): string | null {
  const texts = [
    include === null ? '' : include.join(', '),
    exclude.length === 0 ? '' : `not ${exclude.join(', ')}`,
  ]
  return texts.filter((text) => text !== '').join(', but ') || null
}

function textOf(stream: StreamSummary): string {
  const { samples, units, branches } = stream
  const unitText = Object.entries(units).map(([metric, unit]) => `${metric} in ${unit}`)
  const lines = [
    '',
    `stream ${stream.name}: ${stream.topic} (${stream.codec === 'auto' ? 'JSON or MessagePack' : stream.codec})`,
    ...(stream.metrics === null ? [] : [`  metrics   ${stream.metrics}`]),
    ...(unitText.length === 0 ? [] : [`  units     ${unitText.join(', ')}`]),
    ...(stream.steps.length === 0 ? [] : [`  steps     ${stream.steps.join(', ')}`]),
    `  samples   ${samples === null ? 'no rows' : keptText(samples.retention)}`,
    ...(branches.length < 2 ? [] : branches.map((text, index) => `  branch ${index}  ${text}`)),
    ...table(
      ['window', 'table', 'rows', 'state', 'aggregates'],
      stream.operators.map((operator) => [
        operator.window,
        operator.tables.join(', '),
        keptText(operator.retention),
        `${operator.stateSizeBytes} B`,
        aggregatesText(operator),
      ]),
    ),
    ...(stream.detectors.length === 0
      ? []
      : table(
          ['detector', 'of', 'metrics', 'state', 'settings'],
          stream.detectors.map((detector) => [
            detector.name,
            detector.detector,
            detector.metrics?.join(', ') ?? 'all',
            `${detector.stateSizeBytes} B`,
            `${detector.settings}${branchesText(detector.branches)}`,
          ]),
        )),
    `  state of a series: ${stream.stateSizeBytes} B, after ten minutes of a reading a second`,
  ]
  return lines.map((line) => `${line.trimEnd()}\n`).join('')
}

function aggregatesText({ aggregates, early, branches }: StreamSummary['operators'][number]): string {
  return `${aggregates.join(', ')}${early === null ? '' : `, early every ${early}`}${branchesText(branches)}`
}

function branchesText(branches: readonly number[]): string {
  return branches.length === 0 ? '' : ` (of branch ${branches.join(', ')})`
}

function settingsText(spec: DetectorSpec): string {
  const { quietMs, coolDownMs } = spec
  const coolDown = coolDownMs === 0 ? 'no cool-down' : `cool-down ${durationLabel(coolDownMs)}`
  switch (spec.kind) {
    case 'missing': {
      const least = spec.silenceMsMin === 0 ? '' : `, ${durationLabel(spec.silenceMsMin)} at the least`
      return `overdue after ${spec.intervals} usual intervals${least}, ${coolDown}`
    }
    case 'limits': {
      const { low, high, hysteresis } = spec
      const limits = `${low ?? 'any'} to ${high ?? 'any'}${hysteresis === 0 ? '' : `, back by ${hysteresis}`}`
      return `${limits}, over after ${durationLabel(quietMs)}, ${coolDown}`
    }
    case 'multivariate':
      return `limit ${spec.limit} deviations, over after ${durationLabel(quietMs)}, ${coolDown}`
    default:
      return `over after ${durationLabel(quietMs)}, ${coolDown}`
  }
}

function keptText(retention: string | null): string {
  return retention === null ? 'kept for ever' : `kept for ${retention}`
}

function table(heads: string[], rows: string[][]): string[] {
  const all = [heads, ...rows]
  const widths = heads.map((_, column) => Math.max(...all.map((row) => row[column].length)))
  return all.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column])).join('  ')}`)
}
