/**
 * `millrace store`: the store child alone, for reading or, with `writable`, as the ClickHouse of an engine
 * elsewhere (`--clickhouse http://HOST:PORT`). What may be written stays within the database `millrace`;
 * beyond loopback it takes the password of MILLRACE_STORE_PASSWORD.
 */
import { isLoopback } from '../address.ts'
import { type ListenAddress, PASSWORD_VARIABLE } from './child-messages.ts'
import { StoreStartError } from './errors.ts'
import { type StoreHandle, startStore } from './store.ts'

export interface StandaloneOptions {
  readonly directory: string
  readonly listen: ListenAddress
  readonly writable?: boolean
  readonly log?: (line: string) => void
}

/** Throws a StoreStartError. */
export async function runStore(options: StandaloneOptions): Promise<StoreHandle> {
  const isWritable = options.writable ?? false
  const hasPassword = (process.env[PASSWORD_VARIABLE] ?? '') !== ''
  if (isWritable && !hasPassword && !isLoopback(options.listen.host)) {
    throw new StoreStartError(
      'LISTEN_REFUSED',
      `a writable store on ${options.listen.host} needs a password: set ${PASSWORD_VARIABLE}, ` +
        'or listen on 127.0.0.1',
    )
  }
  return await startStore({
    directory: options.directory,
    listen: options.listen,
    isWritable,
    log: options.log,
  })
}
