/** `millrace audit`: compares the ledger with the tables and the journal, and says whether the books balance. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type AuditReport, runAudit } from '../audit/audit.ts'
import { AuditError } from '../audit/audit-error.ts'
import { formatAudit } from '../audit/audit-report.ts'
import { JournalAudit } from '../audit/journal-audit.ts'
import { printable, printableJson } from '../audit/printable.ts'
import { recordedLayout } from '../audit/recorded-layout.ts'
import { StoreStartError } from '../store/errors.ts'
import { startStore } from '../store/store.ts'
import { connectStore, StoreError, type StoreTarget } from '../store/target.ts'
import { type CommandIo, countOption, readOptions, UsageError } from './command.ts'
import { STORE_HELP, STORE_OPTIONS, storeAddress } from './store-option.ts'
import { timeOption } from './time-option.ts'

const HELP = `millrace audit: compares the ledger with the tables and the journal

  --data DIR           the engine's data directory (default ./millrace-data); it may be running
${STORE_HELP}                       Without either, the store in DIR is started for the audit when none answers.
  --since T            only what arrived, and windows that start, since then: 2026-03-01T12:00, or 2h ago
  --wait S             repeat until nothing is pending and no window is open, at most S seconds
  --json               the report as one JSON object

The windows that the engine has now are compared, with readings of all times: after a change of the config compare
with --since. Readings in windows that may still be open are no difference. Of windows that do not merge those of a
few series are compared. Left out is what is not kept in samples, or depends on a branch's filter.
The last line is "balanced: yes" or "balanced: NO", the exit code 0 or 1. Nothing is changed.
`

const OPTIONS = {
  ...STORE_OPTIONS,
  data: { type: 'string', default: './millrace-data' },
  since: { type: 'string' },
  wait: { type: 'string', default: '0' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h' },
} as const

const REPEAT_PAUSE_MS = 500

type Values = ReturnType<typeof readOptions<typeof OPTIONS>>['values']

export async function auditCommand(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = readOptions(args, OPTIONS)
  if (values.help) {
    io.stdout.write(HELP)
    return 0
  }
  if (positionals.length > 0) throw new UsageError(`takes no ${JSON.stringify(positionals[0])}`)
  const waitMs = countOption('wait', values.wait, 0, 86_400) * 1000
  const address = storeAddress(values, io.env)
  const sinceMs = values.since === undefined ? null : timeOption('since', values.since, Date.now())
  const progress = new ProgressLine(io)
  const closings: (() => Promise<void>)[] = []
  try {
    const { shards, config: layout } = recordedLayout(values.data)
    const journals = new JournalAudit(resolve(values.data), shards, (done, size) => progress.show(done, size))
    closings.push(() => journals.close())
    const isDefaultStore = values.store === undefined && values.clickhouse === undefined
    const target = await openTarget(connectStore(address), values, isDefaultStore, closings)
    const settings = { target, walk: () => journals.walk(), layout, sinceMs }
    const report = await auditUntilSettled(() => runAudit(settings), waitMs)
    progress.end()
    io.stdout.write(values.json ? `${printableJson(report)}\n` : formatAudit(report))
    return report.isBalanced ? 0 : 1
  } catch (error) {
    if (!isExpected(error)) throw error
    progress.end()
    io.stderr.write(`millrace audit: ${printable(error.message.replaceAll(/\s*\n\s*/g, ' '))}\n`)
    return 1
  } finally {
    for (const close of closings.reverse()) await close()
  }
}

function isExpected(error: unknown): error is Error {
  return [AuditError, StoreError, StoreStartError].some((kind) => error instanceof kind)
}

async function auditUntilSettled(audit: () => Promise<AuditReport>, waitMs: number): Promise<AuditReport> {
  const endMs = performance.now() + waitMs
  for (;;) {
    const report = await audit()
    if (report.isSettled || performance.now() + REPEAT_PAUSE_MS > endMs) return report
    await new Promise((settle) => setTimeout(settle, REPEAT_PAUSE_MS))
  }
}

/** `target` when it answers; else, when the user named none, the store of a stopped engine, for as long as it takes. */
async function openTarget(
  target: StoreTarget,
  { data }: Values,
  isDefault: boolean,
  closings: (() => Promise<void>)[],
): Promise<StoreTarget> {
  closings.push(() => target.close())
  try {
    await target.query('SELECT 1 AS one')
    return target
  } catch (error) {
    const isAway = error instanceof StoreError && error.code === 'UNREACHABLE'
    if (!isAway || !isDefault || !existsSync(join(data, 'store'))) throw error
  }
  const store = await startStore({ directory: data, listen: null })
  closings.push(() => store.stop())
  const own = connectStore({ socketPath: store.socketPath })
  closings.push(() => own.close())
  return own
}

/** How far the journals are read: one line that is written over, on a terminal only. */
class ProgressLine {
  #io: CommandIo
  #isOpen = false

  constructor(io: CommandIo) {
    this.#io = io
  }

  show(doneBytes: number, sizeBytes: number): void {
    if (!this.#io.stderr.isTTY) return
    this.#isOpen = true
    const [done, size] = [doneBytes, Math.max(sizeBytes, doneBytes)].map((bytes) => (bytes / 1e6).toFixed(0))
    this.#io.stderr.write(`\r\x1b[Kreading the journal: ${done} of at most ${size} MB`)
  }

  end(): void {
    if (this.#isOpen) this.#io.stderr.write('\r\x1b[K')
    this.#isOpen = false
  }
}
