/** Which ClickHouse a command asks: `--store HOST:PORT` or `--clickhouse URL`. */
import { readFileSync } from 'node:fs'
import { formatAddress } from '../address.ts'
import type { StoreAddress } from '../store/target.ts'
import { addressOption, UsageError } from './command.ts'

export const STORE_OPTIONS = {
  store: { type: 'string' },
  clickhouse: { type: 'string' },
} as const

export const STORE_HELP = `  --store HOST:PORT    where the engine's ClickHouse listens (default 127.0.0.1:8123)
  --clickhouse URL     a ClickHouse server; user and password come from MILLRACE_CLICKHOUSE_USER and
                       MILLRACE_CLICKHOUSE_PASSWORD, or ..._PASSWORD_FILE
`

export function storeAddress(
  values: { store?: string; clickhouse?: string },
  env: NodeJS.ProcessEnv,
): StoreAddress {
  const { store, clickhouse } = values
  if (store !== undefined && clickhouse !== undefined)
    throw new UsageError('takes --store or --clickhouse, not both')
  if (clickhouse === undefined)
    return { url: `http://${formatAddress(addressOption('store', store ?? '127.0.0.1:8123'))}` }
  const parsed = URL.canParse(clickhouse) ? new URL(clickhouse) : null
  if (parsed === null || !/^https?:$/.test(parsed.protocol) || parsed.username !== '')
    throw new UsageError('--clickhouse takes a URL such as http://db:8123, without user and password')
  return { url: parsed.href, username: env.MILLRACE_CLICKHOUSE_USER ?? 'default', password: password(env) }
}

function password(env: NodeJS.ProcessEnv): string {
  const file = env.MILLRACE_CLICKHOUSE_PASSWORD_FILE
  if (file === undefined) return env.MILLRACE_CLICKHOUSE_PASSWORD ?? ''
  try {
    return readFileSync(file, 'utf8').trimEnd()
  } catch (error) {
    throw new UsageError(`the password file ${file} can't be read (${(error as NodeJS.ErrnoException).code})`)
  }
}
