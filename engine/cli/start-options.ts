/** The options of `millrace start`: what they may be, and the engine that they ask for. */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { formatAddress, isLoopback } from '../address.ts'
import { EngineError } from '../engine-error.ts'
import type { EngineLaunch } from '../engine-messages.ts'
import { hasDevices } from '../registry/registry.ts'
import { PASSWORD_VARIABLE as STORE_PASSWORD } from '../store/child-messages.ts'
import type { ServerAddress } from '../store-keeper.ts'
import {
  addressOption,
  countOption,
  networksOption,
  type readOptions,
  sizeOption,
  UsageError,
} from './command.ts'
import { TLS_OPTIONS, tlsOptions } from './tls-options.ts'

export const START_OPTIONS = {
  data: { type: 'string', default: './millrace-data' },
  mqtt: { type: 'string', default: '127.0.0.1:1883' },
  ws: { type: 'string', default: '127.0.0.1:8083' },
  ...TLS_OPTIONS,
  'proxy-protocol': { type: 'string' },
  http: { type: 'string', default: '127.0.0.1:8080' },
  store: { type: 'string', default: '127.0.0.1:8123' },
  clickhouse: { type: 'string' },
  gateways: { type: 'string' },
  shards: { type: 'string' },
  'journal-max': { type: 'string', default: '8G' },
  'no-restart': { type: 'boolean', default: false },
  'allow-anonymous': { type: 'boolean', default: false },
  demo: { type: 'boolean', default: false },
  'no-demo': { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h' },
} as const

const JOURNAL_SIZE_BYTES_MIN = 64 << 20

type Values = ReturnType<typeof readOptions<typeof START_OPTIONS>>['values']

/** Throws UsageError, and EngineError for a password file that can't be read. */
export function startOptions(
  values: Values,
  configFile: string | undefined,
  env: NodeJS.ProcessEnv,
): EngineLaunch {
  const cores = availableParallelism()
  const gateways =
    values.gateways === undefined ? Math.max(1, cores >> 2) : countOption('gateways', values.gateways, 0, 64)
  const shards = values.shards === undefined ? null : countOption('shards', values.shards, 1, 64)
  if (gateways === 0 && shards !== null && shards > 1)
    throw new UsageError('--gateways 0 runs one shard, on the same thread')
  return {
    dataPath: resolve(values.data),
    configFile: configFile === undefined ? null : resolve(configFile),
    mqtt: addressOption('mqtt', values.mqtt),
    webSocket: addressOption('ws', values.ws),
    ...tlsOptions(values),
    trustedProxies: networksOption('proxy-protocol', values['proxy-protocol'] ?? ''),
    http: addressOption('http', values.http),
    store: addressOption('store', values.store),
    server: values.clickhouse === undefined ? null : serverAddress(values.clickhouse, env),
    gateways,
    shards: gateways === 0 ? 1 : shards,
    shardsDefault: Math.max(1, cores >> 1),
    allowsAnonymous: values['allow-anonymous'],
    journalSizeBytesMax: sizeOption('journal-max', values['journal-max'], JOURNAL_SIZE_BYTES_MIN),
  }
}

/** What somebody should know of the engine that is being started. */
export function startWarnings(launch: EngineLaunch, env: NodeJS.ProcessEnv): string[] {
  const { server, store, dataPath, allowsAnonymous } = launch
  const warnings: string[] = []
  if (server === null && !isLoopback(store.host) && !env[STORE_PASSWORD]) {
    const where = `--store ${formatAddress(store)}`
    warnings.push(
      `${where} lets everybody who reaches it read all tables by SQL: set ${STORE_PASSWORD}, or use 127.0.0.1`,
    )
  }
  for (const [name, address] of [
    ['mqtt', launch.mqtt],
    ['ws', launch.webSocket],
    ['mqtts', launch.mqtts],
    ['wss', launch.wss],
  ] as const) {
    if (address === null || isLoopback(address.host) || allowsAnonymous || hasDevices(dataPath)) continue
    const where = `--${name} ${formatAddress(address)}`
    warnings.push(
      `${where} lets only registered devices in from outside, and there are none: see millrace device, or add --allow-anonymous`,
    )
  }
  return warnings
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
