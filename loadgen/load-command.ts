/**
 * `millrace load`: the command line of the load generator. Prints; everything else is in `load.ts` and
 * `verification.ts`.
 */
import { parseArgs } from 'node:util'
import { LoadError } from './fleet.ts'
import { type LoadObserver, runLoad } from './load.ts'
import type { LoadOptions } from './load-options.ts'
import { progressLine, reportText, verificationText } from './load-report.ts'
import type { Address } from './transport.ts'
import { verifyLoad } from './verification.ts'

/** Where the command prints; `process` is one. */
export interface LoadIo {
  stdout: { write(text: string): unknown }
  stderr: { write(text: string): unknown; isTTY?: boolean }
  env: NodeJS.ProcessEnv
}

/**
 * 0: all went well. 1: sent, but something is missing or wrong, or it could not run. 2: the command line
 * makes no sense.
 */
const ExitCode = { ok: 0, failed: 1, usage: 2 } as const

const HELP = `millrace load: simulated devices that publish telemetry to an MQTT or WebSocket port

  millrace load [--mqtt HOST:PORT | --ws HOST:PORT] [options]

  --mqtt HOST:PORT     MQTT over TCP (default 127.0.0.1:1883)
  --ws HOST:PORT       the WebSocket port, by the door mqtt-ws
  --door DOOR          mqtt, mqtt-ws (MQTT over WebSocket) or ws (/ingest/DEVICE, JSON frames)
  --connections N      connections (default 10)
  --devices N          devices, dealt out over the connections (default: one each)
  --metrics N          metrics per message (default 2)
  --codec json|msgpack (default json)
  --qos 0|1            (default 1)
  --protocol 4|5       MQTT 3.1.1 or 5.0 (default 4)
  --window N           messages in flight per connection (default 100)
  --per-write N        messages gathered into a write (default 10)
  --rate R             messages/s in all (default: flat out)
  --messages N         how many messages in all, or
  --duration S         for how many seconds (default 10)
  --prefix NAME        of device names (default: one that no other run has)
  --seed N             of the values (default 1)
  --threads N          worker threads (default 1)
  --drain S            how long to wait for answers and connections (default 30)
  --no-reconnect       give a lost connection up
  --keep-session       keep the MQTT session over reconnects: messages are sent again with DUP
  --verify             compare what was acknowledged with ClickHouse, row by row
  --store HOST:PORT    ClickHouse's HTTP port (default 127.0.0.1:8123)
  --wait S             how long to wait for ClickHouse and for rows (default 30)
  --rollups-wait S     how long to wait for windows to close (default 60); 0 does not compare them
  --progress           a line a second on stderr (default on a terminal)
  --json               the report as one JSON object
  --help

MILLRACE_MQTT_USER and MILLRACE_MQTT_PASSWORD log the connections of MQTT in, where only devices are let in:
as one whose role lets it publish for all of them.
`

const OPTIONS = {
  mqtt: { type: 'string' },
  ws: { type: 'string' },
  door: { type: 'string' },
  connections: { type: 'string' },
  devices: { type: 'string' },
  metrics: { type: 'string' },
  codec: { type: 'string' },
  qos: { type: 'string' },
  protocol: { type: 'string' },
  window: { type: 'string' },
  'per-write': { type: 'string' },
  rate: { type: 'string' },
  messages: { type: 'string' },
  duration: { type: 'string' },
  prefix: { type: 'string' },
  seed: { type: 'string' },
  threads: { type: 'string' },
  drain: { type: 'string' },
  'no-reconnect': { type: 'boolean' },
  'keep-session': { type: 'boolean' },
  verify: { type: 'boolean' },
  store: { type: 'string' },
  wait: { type: 'string' },
  'rollups-wait': { type: 'string' },
  progress: { type: 'boolean' },
  json: { type: 'boolean' },
  help: { type: 'boolean' },
} as const

class UsageError extends Error {
  readonly code = 'USAGE'
}

type Values = ReturnType<typeof parseValues>

/** Runs `millrace load ARGS` and returns its exit code. Ctrl-C ends the run early, with its report. */
export async function loadCommand(args: string[], io: LoadIo): Promise<number> {
  try {
    const values = parseValues(args)
    if (values.help) {
      io.stdout.write(HELP)
      return ExitCode.ok
    }
    const options = { ...loadOptions(values), login: loginOf(io.env) }
    return await runAndReport(values, options, io)
  } catch (error) {
    if (error instanceof UsageError) {
      io.stderr.write(`millrace load: ${error.message}; see millrace load --help\n`)
      return ExitCode.usage
    }
    if (error instanceof LoadError) {
      io.stderr.write(`millrace load: ${error.message}${hint(error)}\n`)
      return ExitCode.failed
    }
    throw error
  }
}

async function runAndReport(values: Values, options: LoadOptions, io: LoadIo): Promise<number> {
  const storeAddress = parseAddress('store', values.store ?? '127.0.0.1:8123')
  const waitMs = number('wait', values.wait, 30) * 1000
  const rollupsWaitMs = number('rollups-wait', values['rollups-wait'], 60) * 1000
  const interrupt = new AbortController()
  const onSignal = (): void => interrupt.abort()
  const observer: LoadObserver = { signal: interrupt.signal }
  if (values.progress ?? io.stderr.isTTY === true) {
    observer.onProgress = (progress) => io.stderr.write(`${progressLine(progress)}\n`)
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  try {
    const run = await runLoad(options, observer)
    if (!values.json) io.stdout.write(reportText(run.report))
    const verification = values.verify
      ? await verifyLoad(run, { store: storeAddress, waitMs, rollupsWaitMs })
      : undefined
    if (values.json) io.stdout.write(`${JSON.stringify({ ...run.report, verification })}\n`)
    else if (verification) io.stdout.write(verificationText(verification))
    const { refused, inFlight, connectionsGivenUp } = run.report.counters
    const isDelivered = refused + inFlight + connectionsGivenUp === 0
    return isDelivered && verification?.isOk !== false ? ExitCode.ok : ExitCode.failed
  } finally {
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }
}

function parseValues(args: string[]) {
  try {
    return parseArgs({ args, options: OPTIONS, strict: true, allowPositionals: false }).values
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    const option = /^Option '([^']+)' argument is ambiguous/.exec(text)?.[1]
    const advice = `${option} needs a value; one that begins with a dash is written ${option}=-VALUE`
    throw new UsageError(option === undefined ? text.split(/\.(?:\s|$)/)[0] : advice, { cause: error })
  }
}

function loginOf({ MILLRACE_MQTT_USER: username = '', MILLRACE_MQTT_PASSWORD: password }: NodeJS.ProcessEnv) {
  return password === undefined ? null : { username, password }
}

function loadOptions(values: Values): LoadOptions {
  if (values.mqtt !== undefined && values.ws !== undefined)
    throw new UsageError('give --mqtt or --ws, not both')
  const door = oneOf('door', values.door ?? (values.ws === undefined ? 'mqtt' : 'mqtt-ws'), [
    'mqtt',
    'mqtt-ws',
    'ws',
  ])
  if (door !== 'mqtt' && values.ws === undefined) throw new UsageError(`--door ${door} needs --ws HOST:PORT`)
  if (door === 'mqtt' && values.ws !== undefined) throw new UsageError('--door mqtt needs --mqtt HOST:PORT')
  const address = parseAddress(values.ws ? 'ws' : 'mqtt', values.ws ?? values.mqtt ?? '127.0.0.1:1883')
  if (values.messages !== undefined && values.duration !== undefined) {
    throw new UsageError('give --messages or --duration, not both')
  }
  const optional = (name: string, text: string | undefined): number | undefined =>
    text === undefined ? undefined : number(name, text, 0)
  const messages = optional('messages', values.messages)
  if (messages === 0) throw new UsageError('--messages must be at least 1')
  return {
    address,
    door,
    connections: optional('connections', values.connections),
    devices: optional('devices', values.devices),
    metrics: optional('metrics', values.metrics),
    codec: oneOf('codec', values.codec ?? 'json', ['json', 'msgpack']),
    qos: oneOf('qos', values.qos ?? '1', ['0', '1']) === '0' ? 0 : 1,
    protocol: oneOf('protocol', values.protocol ?? '4', ['4', '5']) === '5' ? 5 : 4,
    window: optional('window', values.window),
    perWrite: optional('per-write', values['per-write']),
    rate: optional('rate', values.rate),
    messages,
    durationMs: messages === undefined ? number('duration', values.duration, 10) * 1000 : undefined,
    prefix: values.prefix,
    seed: optional('seed', values.seed),
    threads: optional('threads', values.threads),
    drainMs: number('drain', values.drain, 30) * 1000,
    reconnect: !values['no-reconnect'],
    keepSession: values['keep-session'],
  }
}

function number(name: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback
  if (!/^\d+(\.\d+)?$/.test(text)) throw new UsageError(`--${name} must be a number, not "${text}"`)
  return Number(text)
}

function oneOf<const T extends string>(name: string, text: string, choices: readonly T[]): T {
  const choice = choices.find((known) => known === text)
  if (choice === undefined) throw new UsageError(`--${name} must be ${choices.join(' or ')}, not "${text}"`)
  return choice
}

function parseAddress(name: string, text: string): Address {
  const parts = /^(\[[0-9a-fA-F:]+\]|[^:\s]+):(\d{1,5})$/.exec(text)
  const port = Number(parts?.[2])
  if (parts === null || port < 1 || port > 65_535)
    throw new UsageError(`--${name} must be HOST:PORT, not "${text}"`)
  return { host: parts[1].replaceAll(/[[\]]/g, ''), port }
}

function hint(error: LoadError): string {
  return /ECONNREFUSED/.test(error.message) ? '; is it running? `millrace start` starts an engine' : ''
}
