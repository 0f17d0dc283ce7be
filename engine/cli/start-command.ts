/** `millrace start`: reads options and config, runs the engine, says what happens, drains on a signal. */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Address, formatAddress, isLoopback } from '../address.ts'
import type { MillraceConfig } from '../config.ts'
import { ConfigError, checkConfig } from '../config-check.ts'
import { Engine, type EngineOptions } from '../engine.ts'
import { EngineError } from '../engine-error.ts'
import type { ServerAddress } from '../store-keeper.ts'
import { addressOption, type CommandIo, countOption, readOptions, sizeOption, UsageError } from './command.ts'
import { createConsole } from './start-console.ts'

const HELP = `millrace start [config.ts]: runs the engine

  --data DIR             its data (default ./millrace-data)
  --mqtt HOST:PORT       MQTT over TCP (default 127.0.0.1:1883); port 0 picks a free one, here and below
  --ws HOST:PORT         WebSocket: /mqtt and /ingest/{device} (default 127.0.0.1:8083)
  --http HOST:PORT       /healthz, /readyz, /metrics (default 127.0.0.1:8080)
  --store HOST:PORT      SQL for analysts, ClickHouse's HTTP protocol (default 127.0.0.1:8123)
  --clickhouse URL       a ClickHouse server instead of the embedded one; user and password come from
                         MILLRACE_CLICKHOUSE_USER and MILLRACE_CLICKHOUSE_PASSWORD, or ..._PASSWORD_FILE
  --gateways N           threads that own connections; 0 runs gateway and shard on one thread
  --shards N             threads that own devices (both by default from the cores)
  --journal-max SIZE     how far the journal may grow while ClickHouse is away (default 8G)
  --allow-anonymous      let unknown devices in on addresses beyond loopback
  --demo, --no-demo      connect a demo fleet, or not
  --json                 events as JSON, one a line

SIGINT and SIGTERM drain: what was acknowledged is in ClickHouse before the engine ends.
`

const OPTIONS = {
  data: { type: 'string', default: './millrace-data' },
  mqtt: { type: 'string', default: '127.0.0.1:1883' },
  ws: { type: 'string', default: '127.0.0.1:8083' },
  http: { type: 'string', default: '127.0.0.1:8080' },
  store: { type: 'string', default: '127.0.0.1:8123' },
  clickhouse: { type: 'string' },
  gateways: { type: 'string' },
  shards: { type: 'string' },
  'journal-max': { type: 'string', default: '8G' },
  'allow-anonymous': { type: 'boolean', default: false },
  demo: { type: 'boolean', default: false },
  'no-demo': { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h' },
} as const

const SIGNAL_REPEAT_MS = 1000
const JOURNAL_SIZE_BYTES_MIN = 64 << 20

type Values = ReturnType<typeof readOptions<typeof OPTIONS>>['values']

/** Simulated devices that somebody else connects. */
export interface DemoFleet {
  stop(): Promise<void>
}

export async function startCommand(
  args: string[],
  io: CommandIo,
  startDemo: (mqtt: Address) => Promise<DemoFleet>,
): Promise<number> {
  const { values, positionals } = readOptions(args, OPTIONS)
  if (values.help) {
    io.stdout.write(HELP)
    return 0
  }
  if (positionals.length > 1) throw new UsageError('takes one config file')
  const isDemo = values.demo && !values['no-demo']
  const terminal = createConsole(io, values.json, isDemo)
  const stopped = signalled()
  const died = Promise.withResolvers<Error>()
  let engine: Engine
  try {
    const options = await engineOptions(values, positionals[0], io.env)
    engine = await Engine.start(options, { onFault: (fault) => terminal.fault(fault), onDeath: died.resolve })
  } catch (error) {
    if (!(error instanceof EngineError || error instanceof ConfigError)) throw error
    terminal.fault({ code: error.code, message: error.message, isOver: false })
    return 1
  }
  terminal.ready(engine)
  const demo: DemoFleet | null = isDemo ? await startDemo(engine.addresses.mqtt) : null
  const statusTimer = setInterval(() => terminal.status(engine.board.summary()), 1000)
  const death = await Promise.race([stopped, died.promise])
  clearInterval(statusTimer)
  if (death !== null) {
    terminal.fault({
      code: 'ENGINE_DIED',
      message: `${death.message}; start it again, the journal has what was acknowledged`,
      isOver: false,
    })
    process.exit(1)
  }
  terminal.stopping()
  await demo?.stop()
  const isDrained = await engine.stop()
  terminal.stopped(engine.board.summary(), isDrained)
  return 0
}

/**
 * Resolves with null on the first SIGINT or SIGTERM; another one a second later or more ends the process at once. (One
 * Ctrl-C may come twice: from the terminal, and passed on by npm.)
 */
function signalled(): Promise<null> {
  return new Promise((resolve) => {
    let firstMs = 0
    const onSignal = () => {
      if (firstMs === 0) firstMs = performance.now()
      else if (performance.now() - firstMs > SIGNAL_REPEAT_MS) process.exit(130)
      resolve(null)
    }
    process.on('SIGINT', onSignal)
    process.on('SIGTERM', onSignal)
  })
}

async function engineOptions(
  values: Values,
  configFile: string | undefined,
  env: NodeJS.ProcessEnv,
): Promise<EngineOptions> {
  const cores = availableParallelism()
  const gateways =
    values.gateways === undefined ? Math.max(1, cores >> 2) : countOption('gateways', values.gateways, 0, 64)
  const shards = values.shards === undefined ? null : countOption('shards', values.shards, 1, 64)
  if (gateways === 0 && shards !== null && shards > 1)
    throw new UsageError('--gateways 0 runs one shard, on the same thread')
  const options: EngineOptions = {
    dataPath: resolve(values.data),
    config: await loadConfig(configFile),
    mqtt: addressOption('mqtt', values.mqtt),
    webSocket: addressOption('ws', values.ws),
    http: addressOption('http', values.http),
    store: addressOption('store', values.store),
    server: values.clickhouse === undefined ? null : serverAddress(values.clickhouse, env),
    gateways,
    shards: gateways === 0 ? 1 : shards,
    shardsDefault: Math.max(1, cores >> 1),
    journalSizeBytesMax: sizeOption('journal-max', values['journal-max'], JOURNAL_SIZE_BYTES_MIN),
  }
  for (const [name, address] of [
    ['mqtt', options.mqtt],
    ['ws', options.webSocket],
  ] as const) {
    if (isLoopback(address.host) || values['allow-anonymous']) continue
    throw new UsageError(
      `--${name} ${formatAddress(address)} would let any device in from outside: add --allow-anonymous, or use 127.0.0.1`,
    )
  }
  return options
}

async function loadConfig(file: string | undefined): Promise<MillraceConfig> {
  if (file === undefined) return checkConfig({})
  try {
    const module = await import(pathToFileURL(resolve(file)).href)
    return checkConfig(module.default)
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw new EngineError(
      'CONFIG',
      `config ${file} can't be loaded: ${(error as Error).message.split('\n')[0]}`,
      error,
    )
  }
}

function serverAddress(url: string, env: NodeJS.ProcessEnv): ServerAddress {
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed === null || !/^https?:$/.test(parsed.protocol) || parsed.username !== '') {
    throw new UsageError('--clickhouse takes a URL such as http://db:8123, without user and password')
  }
  const file = env.MILLRACE_CLICKHOUSE_PASSWORD_FILE
  try {
    return {
      url: parsed.href,
      username: env.MILLRACE_CLICKHOUSE_USER ?? 'default',
      password:
        file === undefined ? (env.MILLRACE_CLICKHOUSE_PASSWORD ?? '') : readFileSync(file, 'utf8').trimEnd(),
    }
  } catch (error) {
    throw new EngineError(
      'PASSWORD_FILE',
      `password file ${file} can't be read (${(error as NodeJS.ErrnoException).code})`,
      error,
    )
  }
}
