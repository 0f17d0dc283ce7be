/** `millrace dead-letters list|replay`: shows what could not be decoded, and sends it again. */
import { type DeadLetter, type LetterFilter, listLetters } from '../audit/dead-letters.ts'
import { MqttPublisher, PublishError } from '../audit/mqtt-publisher.ts'
import { previewOf, printable, printableJson } from '../audit/printable.ts'
import { type Outcome, type ReplayReport, replayLetters } from '../audit/replay.ts'
import { connectStore, StoreError, type StoreTarget } from '../store/target.ts'
import { addressOption, type CommandIo, countOption, readOptions, UsageError } from './command.ts'
import { STORE_HELP, STORE_OPTIONS, storeAddress } from './store-option.ts'
import { timeOption } from './time-option.ts'

const HELP = `millrace dead-letters list [options]: what could not be decoded, newest first
millrace dead-letters replay --mqtt HOST:PORT [options]: sends it again to its topics, oldest first

  --stream S, --device D, --reason R   only these
  --since T            only what arrived since then: 2026-03-01T12:00 (UTC), or 15m, 2h, 7d ago
  --limit N            at most so many (list: 100, replay: all)
  --mqtt HOST:PORT     replay: where to send it, at QoS 1, as MILLRACE_MQTT_USER with MILLRACE_MQTT_PASSWORD
  --dry-run            replay: only say what would be sent
  --look S             replay: how long to look for what became a dead letter again (default 5)
${STORE_HELP}  --json               one JSON object a line, payloads as base64

A replay deletes nothing: what it sent stays in the table, and what is wrong still comes back.
`

const OPTIONS = {
  ...STORE_OPTIONS,
  stream: { type: 'string' },
  device: { type: 'string' },
  reason: { type: 'string' },
  since: { type: 'string' },
  limit: { type: 'string' },
  mqtt: { type: 'string' },
  'dry-run': { type: 'boolean', default: false },
  look: { type: 'string', default: '5' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h' },
} as const

const LIMIT_MAX = 999_999_999
const LIST_LIMIT = 100
const PREVIEW_COLUMNS = 60
const PREVIEW_SIZE_BYTES = 256
const JSON_PREVIEW_SIZE_BYTES = 64 << 10
const REPLAY_WINDOW = 100
const REPLAY_TIMEOUT_MS = 60_000

type Values = ReturnType<typeof readOptions<typeof OPTIONS>>['values']

export async function deadLettersCommand(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = readOptions(args, OPTIONS)
  if (values.help) {
    io.stdout.write(HELP)
    return 0
  }
  const [verb] = positionals
  if (positionals.length !== 1 || (verb !== 'list' && verb !== 'replay'))
    throw new UsageError('takes list or replay')
  const run = verb === 'list' ? prepareList(values, io) : prepareReplay(values, io)
  const target = connectStore(storeAddress(values, io.env))
  try {
    return await run(target)
  } catch (error) {
    if (!(error instanceof StoreError || error instanceof PublishError)) throw error
    io.stderr.write(`millrace dead-letters: ${printable(error.message.replaceAll(/\s*\n\s*/g, ' '))}\n`)
    return 1
  } finally {
    await target.close()
  }
}

/** Checks the options, and gives what is left to do with the store. */
function prepareList(values: Values, io: CommandIo): (target: StoreTarget) => Promise<number> {
  if (values.mqtt !== undefined || values['dry-run'])
    throw new UsageError('list takes no --mqtt or --dry-run')
  const filter = filterOf(values)
  const limit = countOption('limit', values.limit ?? String(LIST_LIMIT), 1, LIMIT_MAX)
  return async (target) => {
    const sizeBytes = values.json ? JSON_PREVIEW_SIZE_BYTES : PREVIEW_SIZE_BYTES
    const letters = await listLetters(target, filter, limit, sizeBytes)
    for (const letter of letters) io.stdout.write(values.json ? jsonLine(letter) : `${textLine(letter)}\n`)
    if (!values.json && letters.length === 0) io.stdout.write('no dead letters\n')
    return 0
  }
}

function prepareReplay(values: Values, io: CommandIo): (target: StoreTarget) => Promise<number> {
  const isDry = values['dry-run']
  if (values.mqtt === undefined && !isDry) throw new UsageError('replay takes --mqtt HOST:PORT, or --dry-run')
  const address = values.mqtt === undefined ? null : addressOption('mqtt', values.mqtt)
  const filter = filterOf(values)
  const limit = countOption('limit', values.limit ?? String(LIMIT_MAX), 1, LIMIT_MAX)
  const lookMs = countOption('look', values.look, 0, 3600) * 1000
  return async (target) => {
    const publisher =
      isDry || address === null
        ? null
        : await MqttPublisher.connect({
            address,
            windowMax: REPLAY_WINDOW,
            timeoutMs: REPLAY_TIMEOUT_MS,
            login: loginOf(io.env),
          })
    const onOutcome = (letter: DeadLetter, outcome: Outcome) =>
      void io.stdout.write(
        values.json ? jsonLine(letter, outcome) : `${textLine(letter)}  -> ${outcomeText(outcome)}\n`,
      )
    try {
      const report = await replayLetters({ target, publisher, filter, limit, lookMs, onOutcome })
      io.stdout.write(values.json ? `${printableJson({ report })}\n` : summary(report, isDry, values.look))
      if (report.fault !== null) io.stderr.write(`millrace dead-letters: ${printable(report.fault)}\n`)
      return report.fault === null && report.refused === 0 ? 0 : 1
    } finally {
      await publisher?.close()
    }
  }
}

/** Whose role lets it publish to all topics, where only devices are let in. */
function loginOf({ MILLRACE_MQTT_USER: username, MILLRACE_MQTT_PASSWORD: password }: NodeJS.ProcessEnv) {
  return password === undefined ? undefined : { username: username ?? '', password: Buffer.from(password) }
}

function filterOf({ stream, device, reason, since }: Values): LetterFilter {
  return {
    ...(stream === undefined ? {} : { stream }),
    ...(device === undefined ? {} : { device }),
    ...(reason === undefined ? {} : { reason }),
    ...(since === undefined ? {} : { sinceMs: timeOption('since', since, Date.now()) }),
  }
}

function textLine(letter: DeadLetter): string {
  const { arrivalMs, stream, device, reason, payload, payloadSizeBytes } = letter
  const about = [stream, device, reason].map(printable).join('  ')
  const size = `${payloadSizeBytes.toLocaleString('en-US')} bytes`
  return `${new Date(arrivalMs).toISOString()}  ${about}  ${size}  ${previewOf(payload.subarray(0, PREVIEW_SIZE_BYTES), PREVIEW_COLUMNS)}`
}

function jsonLine(letter: DeadLetter, outcome?: Outcome): string {
  const { arrivalMs, payload, ...rest } = letter
  const head = payload.subarray(0, JSON_PREVIEW_SIZE_BYTES)
  const shown = {
    arrival: new Date(arrivalMs).toISOString(),
    ...rest,
    payload: Buffer.from(head).toString('base64'),
    isPayloadWhole: head.length === letter.payloadSizeBytes,
  }
  return `${printableJson(outcome === undefined ? shown : { ...shown, outcome })}\n`
}

function outcomeText(outcome: Outcome): string {
  if (outcome.kind === 'refused') return `refused (reason code ${outcome.reasonCode})`
  return outcome.kind === 'skipped' ? `skipped: ${outcome.reason}` : outcome.kind
}

function summary(report: ReplayReport, isDry: boolean, lookSeconds: string): string {
  if (isDry) return `${report.selected - report.skipped} of ${report.selected} would be sent\n`
  const again = Object.entries(report.again)
  const againCount = again.reduce((sum, [, count]) => sum + count, 0)
  const reasons = again.map(([reason, count]) => `${printable(reason)}: ${count}`).join(', ')
  const others = [
    [report.refused, 'refused'],
    [report.skipped, 'skipped'],
    [report.unanswered, 'unanswered'],
  ]
  return [
    `${report.accepted} of ${report.selected} accepted`,
    ...others.filter(([count]) => Number(count) > 0).map(([count, word]) => `, ${count} ${word}`),
    `; dead letters again within ${lookSeconds} s: ${againCount}${reasons === '' ? '' : ` (${reasons})`}\n`,
    'the letters that were sent stay in the table\n',
  ].join('')
}
