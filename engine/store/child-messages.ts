/** What passes between the engine and its store child: one configuration in, and events out; then a request to stop. */
import type { EngineLimits } from './engine-config.ts'
import type { StoreStartCode } from './errors.ts'

export interface ListenAddress {
  readonly host: string
  readonly port: number
}

/** Handed over as JSON in the first argument of the process. */
export interface StoreChildConfig {
  /** chDB's own directory. */
  readonly dataDirectory: string
  /** Private (0700): configuration, pipes, bodies of inserts. Emptied of the last run's files at start. */
  readonly runDirectory: string
  /** Full rights, for the sink. */
  readonly socketPath: string
  /** For analysts. */
  readonly listen: ListenAddress | null
  /**
   * The TCP port takes inserts and DDL too, with the password of MILLRACE_STORE_PASSWORD where one is set.
   */
  readonly isWritable: boolean
  readonly limits: EngineLimits
}

export type StoreChildEvent =
  | { readonly event: 'ready'; readonly address: ListenAddress | null }
  | { readonly event: 'fault'; readonly code: StoreStartCode; readonly message: string }

/** The child takes no more requests, lets running inserts end, and exits with 0. */
export interface StoreChildRequest {
  readonly request: 'stop'
}

export const PASSWORD_VARIABLE = 'MILLRACE_STORE_PASSWORD'
/** Further host names by which the TCP port may be called, separated by commas. */
export const HOSTS_VARIABLE = 'MILLRACE_STORE_HOSTS'
