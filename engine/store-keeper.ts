/**
 * Keeps the engine's ClickHouse at hand: starts the store child and starts it again when it dies, or uses a server;
 * creates the schema, and goes on trying while a server is away. Main thread.
 */
import type { Address } from './address.ts'
import type { MillraceConfig } from './config.ts'
import { EngineError } from './engine-error.ts'
import type { Fault } from './fault-log.ts'
import { applyConfigToTables } from './store/config-tables.ts'
import { StoreStartError } from './store/errors.ts'
import { createSchema, VIEWS_QUERY } from './store/schema.ts'
import { type StoreHandle, startStore } from './store/store.ts'
import { connectStore, type StoreAddress, StoreError } from './store/target.ts'

const RESTART_PAUSE_MS = 500
const SCHEMA_RETRY_MS = 2000

export interface ServerAddress {
  url: string
  username: string
  password: string
}

export interface StoreKeeperSettings {
  directory: string
  listen: Address
  server: ServerAddress | null
  /** What it says of the tables is put into effect. */
  config: MillraceConfig
}

export class StoreKeeper {
  #settings: StoreKeeperSettings
  #report: (fault: Fault) => void
  #handle: StoreHandle | null = null
  #starting: Promise<void> | null = null
  #stopping = new AbortController()
  #retry: NodeJS.Timeout | undefined

  constructor(settings: StoreKeeperSettings, report: (fault: Fault) => void) {
    this.#settings = settings
    this.#report = report
  }

  /** Where analysts reach the embedded store; null with a server. */
  get address(): Address | null {
    return this.#handle?.address ?? null
  }

  /** What sinks talk to. */
  get target(): StoreAddress {
    if (this.#settings.server !== null) return this.#settings.server
    if (this.#handle === null) throw new EngineError('STORE_NOT_STARTED', 'the store is not running')
    return { socketPath: this.#handle.socketPath }
  }

  /** Resolves once the store takes inserts, or at once when a server is away for now. Throws EngineError. */
  async start(): Promise<void> {
    if (this.#settings.server === null) await this.#startChild(this.#settings.listen)
    try {
      await this.#createSchema()
    } catch (error) {
      if (!(error instanceof StoreError && error.retryable))
        throw new EngineError('STORE_REFUSES', explain(error), error)
      this.#createSchemaLater(error)
    }
  }

  /** The store has ended when it resolves, also one that was just being started. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    clearTimeout(this.#retry)
    await this.#starting?.catch(() => {}) // that it was ended is no news
    await this.#handle?.stop()
  }

  get #isStopping(): boolean {
    return this.#stopping.signal.aborted
  }

  #startChild(listen: Address): Promise<void> {
    this.#starting = this.#forkChild(listen)
    return this.#starting
  }

  async #forkChild(listen: Address): Promise<void> {
    const { directory } = this.#settings
    try {
      this.#handle = await startStore({ directory, listen, signal: this.#stopping.signal })
    } catch (error) {
      if (error instanceof StoreStartError)
        throw new EngineError(error.code, `${error.message}${hint(error)}`, error)
      throw error
    }
    void this.#handle.exited.then(({ code, signal }) => {
      if (this.#isStopping) return
      this.#report({
        code: 'STORE_DIED',
        message: `the store ended (${signal ?? code}); it is started again`,
        isOver: false,
      })
      this.#restart()
    })
  }

  #restart(): void {
    this.#retry = setTimeout(() => {
      const listen = this.#handle?.address ?? this.#settings.listen // the same port, also when it was a free one
      this.#startChild(listen).then(
        () => this.#report({ code: 'STORE_DIED', message: 'the store runs again', isOver: true }),
        (error: Error) => {
          if (this.#isStopping) return
          const message = `the store can't be started again: ${error.message}`
          this.#report({ code: 'STORE_DIED', message, isOver: false })
          this.#restart()
        },
      )
    }, RESTART_PAUSE_MS)
  }

  async #createSchema(): Promise<void> {
    const target = connectStore(this.target)
    try {
      const { server, config } = this.#settings
      const { pipelines } = config
      const views = await target.query<{ name: string; comment: string }>(VIEWS_QUERY)
      const notice = await createSchema((sql) => target.command(sql), {
        syncOnInsert: server === null,
        views: new Map(views.map(({ name, comment }) => [name, comment])),
        windows: pipelines.flatMap(({ operators }) => operators.map(({ spec }) => spec)),
        downsamplers: pipelines.flatMap(({ downsamplers }) => downsamplers.map(({ spec }) => spec)),
      })
      if (notice !== null) this.#report({ code: 'STORE_RIGHTS', message: notice, isOver: false })
      await applyConfigToTables(target, this.#settings.config)
    } finally {
      await target.close()
    }
  }

  /** Says every time what was wrong with the last attempt: it may be something else by now. */
  #createSchemaLater(error: unknown): void {
    const message = `${explain(error)}; readings are journalled until it takes them`
    this.#report({ code: 'STORE_AWAY', message, isOver: false })
    this.#retry = setTimeout(() => {
      this.#createSchema().then(
        () => this.#report({ code: 'STORE_AWAY', message: 'ClickHouse is back', isOver: true }),
        (failure: unknown) => {
          if (!this.#isStopping) this.#createSchemaLater(failure)
        },
      )
    }, SCHEMA_RETRY_MS)
  }
}

/** The option that the user may change. */
function hint({ code }: StoreStartError): string {
  return code === 'PORT_IN_USE' || code === 'ADDRESS_UNAVAILABLE' ? ' (--store HOST:PORT)' : ''
}

function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const isRefusal = error instanceof StoreError && error.code === 'AUTHENTICATION'
  return isRefusal
    ? `${error.message} (MILLRACE_CLICKHOUSE_USER, MILLRACE_CLICKHOUSE_PASSWORD)`
    : error.message
}
