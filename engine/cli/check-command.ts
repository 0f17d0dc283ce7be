/** `millrace check`: reads a config as `start` would, and says what it would do. */
import { loadConfig } from '../config-file.ts'
import { ConfigError } from '../config-value.ts'
import { EngineError } from '../engine-error.ts'
import { type StreamSummary, summaryOf } from './check-summary.ts'
import { type CommandIo, readOptions, UsageError } from './command.ts'

const HELP = `millrace check [config.ts]: says what a config would do, without starting anything

  --json    as one JSON object

Exit codes: 0 the config is sound, 1 it is not, 2 the options make no sense.
`

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
    ...(stream.downsamplers.length === 0
      ? []
      : table(
          ['points', 'metrics', 'rows', 'state', 'settings'],
          stream.downsamplers.map((downsampler) => [
            downsampler.method,
            downsampler.metrics?.join(', ') ?? 'all',
            keptText(downsampler.retention),
            `${downsampler.stateSizeBytes} B`,
            `${downsampler.settings}${branchesText(downsampler.branches)}`,
          ]),
        )),
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

function keptText(retention: string | null): string {
  return retention === null ? 'kept for ever' : `kept for ${retention}`
}

function table(heads: string[], rows: string[][]): string[] {
  const all = [heads, ...rows]
  const widths = heads.map((_, column) => Math.max(...all.map((row) => row[column].length)))
  return all.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column])).join('  ')}`)
}
