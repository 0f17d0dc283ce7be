/** `millrace dry-run`: what a config would make of journalled messages, and what differs from the running one. */
import { AuditError } from '../audit/audit-error.ts'
import { printable, printableJson } from '../audit/printable.ts'
import { ConfigError } from '../config-value.ts'
import { type DryRunReport, dryRun } from '../dry-run/dry-run.ts'
import type { KindFindings } from '../dry-run/row-comparison.ts'
import { EngineError } from '../engine-error.ts'
import { type CommandIo, readOptions, UsageError } from './command.ts'

const HELP = `millrace dry-run config.ts: what a config would make of journalled messages

  --data DIR        an engine's data directory (default ./millrace-data); it may be running
  --running FILE    the running config, when the new one has not got all of its functions
  --json            the report as one JSON object

Both configs are run over what the journal still holds, from an empty state, so the first and last windows
may be parts. Nothing is written.
Exit codes: 0 it ran, whatever differs; 1 it could not; 2 the options make no sense.
`

export async function dryRunCommand(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = readOptions(args, {
    data: { type: 'string', default: './millrace-data' },
    running: { type: 'string' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h' },
  })
  if (values.help) {
    io.stdout.write(HELP)
    return 0
  }
  if (positionals.length !== 1) throw new UsageError('takes one config file')
  let doneBytes = 0
  const isTerminal = io.stderr.isTTY === true
  const onProgress = (sizeBytes: number) => {
    doneBytes += sizeBytes
    if (isTerminal) io.stderr.write(`\r\x1b[Kreading the journal: ${(doneBytes / 1e6).toFixed(0)} MB`)
  }
  try {
    const report = await dryRun({
      dataPath: values.data,
      triedFile: positionals[0],
      runningFile: values.running ?? null,
      onProgress,
    })
    if (isTerminal) io.stderr.write('\r\x1b[K')
    io.stdout.write(values.json ? `${printableJson(report)}\n` : textOf(report))
    return 0
  } catch (error) {
    if (![AuditError, EngineError, ConfigError].some((kind) => error instanceof kind)) throw error
    io.stderr.write(`millrace dry-run: ${printable((error as Error).message)}\n`)
    return 1
  }
}

function textOf({ messageCount, unmatchedCount, kinds }: DryRunReport): string {
  const unmatched = unmatchedCount === 0 ? '' : `; no stream takes ${unmatchedCount} of them any more`
  const lines = [`${messageCount} messages in the journal${unmatched}`]
  for (const stream of new Set(kinds.map((kind) => kind.stream))) {
    lines.push('', `stream ${printable(stream)}`)
    for (const kind of kinds.filter((found) => found.stream === stream)) lines.push(...kindLines(kind))
  }
  return `${lines.join('\n')}\n`
}

function kindLines(kind: KindFindings): string[] {
  const { table, window, running, tried, onlyRunning, onlyTried, different, examples } = kind
  const name = window === null ? table : `${table} ${window}`
  const isSame = onlyRunning + onlyTried + different === 0
  const parts = [`${onlyRunning} only running`, `${onlyTried} only new`, `${different} with other values`]
  const difference = isSame ? 'the same' : parts.join(', ')
  return [
    `  ${name.padEnd(24)} ${tried} rows, ${running} of the running config: ${difference}`,
    ...examples.map((example) => `    ${printable(example)}`),
  ]
}
