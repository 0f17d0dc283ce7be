/**
 * chDB behind the store child's HTTP: sessions, inserts from files, and analysts' queries whose results come
 * through a named pipe. Owned by the main thread of a forked process: chDB crashes in worker threads.
 *
 * Why pipes: chDB's own streaming runs a query's analysis (scalar subqueries with it) on the calling thread,
 * where a hostile query would hold up every insert, and its one-shot calls buffer the whole result. `INTO
 * OUTFILE` a pipe, run asynchronously, does neither, works with every format, and a reader that goes away
 * ends the query.
 */
import { execFileSync } from 'node:child_process'
import { closeSync, constants, existsSync, openSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { drainPending, Session } from 'chdb'
import { DATABASE, TABLES_WRITTEN_BY_VIEWS } from './columns.ts'
import { syncInsert } from './deduplication-log.ts'
import type { EngineLimits } from './engine-config.ts'
import { ClickHouseFault, faultOf } from './errors.ts'
import { type InsertStatement, insertFromFile } from './insert-statement.ts'
import { forbiddenTableFunctions, type ReadQuery } from './query-guard.ts'
import { Semaphore } from './semaphore.ts'
import { quoteName, quoteString } from './sql-tokens.ts'

export interface QueryStats {
  readonly rowsRead: number
  readonly bytesRead: number
  readonly elapsedSeconds: number
}

export interface RunningQuery {
  /** The result in the format asked for; ends when the query is done or has failed. */
  readonly output: Readable
  /**
   * Settles when the engine is done; rejects with a ClickHouseFault. Never before the last byte is written.
   */
  readonly done: Promise<QueryStats>
  /** Ends the query because nobody reads its result any more. */
  cancel(): void
}

export interface QueryContext {
  readonly database: string
  readonly format: string
  /** Set in this order, all at once; the caller has checked the names. */
  readonly settings: ReadonlyMap<string, string>
  /** Values of `{name:Type}` placeholders in TabSeparated's escaping, as the engine takes them. */
  readonly params: ReadonlyMap<string, string>
}

/** Two, so that a small insert need not wait for a large one. */
const INSERTS_AT_ONCE = 2
const INSERTS_WAITING_MAX = 256

export class ChdbEngine {
  readonly limits: EngineLimits
  readonly forbiddenCalls: ReadonlySet<string>
  readonly #queries: Semaphore
  readonly #directory: string
  readonly #control: Session
  readonly #inserts = new Semaphore(INSERTS_AT_ONCE, INSERTS_WAITING_MAX)
  readonly #idleInsertSessions: Session[] = []
  readonly #idlePipes: string[]
  readonly #tableDirectories = new Map<string, string>()
  #readCount = 0

  /** Throws what chDB throws when the directory is in use or broken. */
  constructor(directory: string, runDirectory: string, configPath: string, limits: EngineLimits) {
    this.limits = limits
    this.#directory = directory
    this.#control = new Session(directory, { connectionArgs: [`--config-file=${configPath}`] })
    // Every session runs in it, and it must be there before the first of them.
    this.#control.query(`CREATE DATABASE IF NOT EXISTS ${DATABASE} ENGINE = Atomic`)
    for (let i = 0; i < INSERTS_AT_ONCE; i++) this.#idleInsertSessions.push(new Session(directory))
    const functions = this.#control.query('SELECT name FROM system.table_functions', 'TSV')
    this.forbiddenCalls = forbiddenTableFunctions(functions.trim().split('\n'))
    this.#queries = new Semaphore(limits.queriesMax, limits.queriesWaitingMax)
    this.#idlePipes = makePipes(runDirectory, limits.queriesMax)
  }

  /** Runs an insert whose body lies in a file; when it returns, a power cut takes neither rows nor token. */
  async insert(insert: InsertStatement, path: string): Promise<QueryStats> {
    const release = await this.#inserts.acquire()
    const session = this.#idleInsertSessions.pop() as Session
    try {
      const stats = await runOnce(session, insertFromFile(insert, path))
      for (const table of [insert.table, ...(TABLES_WRITTEN_BY_VIEWS[insert.table] ?? [])]) {
        await this.#syncTable(insert.database, table)
      }
      return stats
    } finally {
      this.#idleInsertSessions.push(session)
      release()
    }
  }

  /** Runs a trusted statement of any kind in a session of its own, with its result in memory. */
  async execute(sql: string, context: QueryContext): Promise<QueryStats & { readonly body: Uint8Array }> {
    const release = await this.#inserts.acquire()
    let session: Session | null = null
    try {
      session = this.#preparedSession(context)
      const result = await session.queryAsync(sql, { format: context.format })
      return { ...statsOf(result), body: result.bytes() }
    } catch (cause) {
      throw faultOf(cause)
    } finally {
      session?.close()
      release()
    }
  }

  /** Starts a reader's query once there is a place for it. The context's settings end with `readonly`. */
  async read(query: ReadQuery, context: QueryContext): Promise<RunningQuery> {
    const release = await this.#queries.acquire()
    const pipe = this.#idlePipes.pop() as string
    const giveBack = (): void => {
      this.#idlePipes.push(pipe)
      release()
    }
    try {
      return this.#readInto(pipe, query, context, giveBack)
    } catch (cause) {
      giveBack()
      throw faultOf(cause)
    }
  }

  #readInto(pipe: string, query: ReadQuery, context: QueryContext, giveBack: () => void): RunningQuery {
    const session = this.#preparedSession(context)
    const readEnd = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK)
    // Held open so that the reader sees no end before the engine has come to write, or has failed to.
    const writeEnd = openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK)
    const output = new Socket({ fd: readEnd, readable: true, writable: false })
    // Found by its tag, for by the time it is looked for its pipe may serve the next query.
    const tag = `/* reader ${++this.#readCount} */`
    const target = `INTO OUTFILE ${quoteString(pipe)} TRUNCATE FORMAT ${query.format ?? context.format}`
    // A format that writes nothing would silence SHOW, which runs a query of its own with it.
    const done = runOnce(session, `${query.text} ${target} ${tag}`, 'TSV')
      .catch((fault: ClickHouseFault) => {
        throw new ClickHouseFault(fault.exceptionCode, withoutOurs(fault.message, query.text))
      })
      .finally(() => {
        closeSync(writeEnd)
        session.close()
      })
    // Not before the reader is gone too: a next query's ends would keep this one's from seeing the end.
    const closed = new Promise((resolve) => output.once('close', resolve))
    void Promise.allSettled([done, closed]).then(giveBack)
    const cancel = (): void => {
      output.destroy()
      this.#kill(tag)
    }
    return { output, done, cancel }
  }

  #preparedSession(context: QueryContext): Session {
    const session = new Session(this.#directory)
    try {
      for (const [name, value] of context.params) session.query(`SET param_${name} = ${quoteString(value)}`)
      session.query(`USE ${quoteName(context.database)}`)
      const settings = [...context.settings].map(([name, value]) => `${name} = ${quoteString(value)}`)
      if (settings.length > 0) session.query(`SET ${settings.join(', ')}`)
      return session
    } catch (cause) {
      session.close()
      throw cause
    }
  }

  /** Waits for what still runs: a process that ends amid chDB's threads may crash on its way out. */
  async close(): Promise<void> {
    await drainPending()
    this.#control.close()
    for (const session of this.#idleInsertSessions) session.close()
  }

  async #syncTable(database: string, table: string): Promise<void> {
    const name = `${database}.${table}`
    const known = this.#tableDirectories.get(name)
    // A table dropped and made again has another directory.
    const directory =
      known !== undefined && existsSync(known) ? known : await this.#directoryOf(database, table)
    if (directory === null) return
    this.#tableDirectories.set(name, directory)
    await syncInsert(directory)
  }

  /** Where a table keeps its parts; null for one that keeps none. */
  async #directoryOf(database: string, table: string): Promise<string | null> {
    const where = `database = ${quoteString(database)} AND name = ${quoteString(table)}`
    const result = await this.#control.queryAsync(`SELECT data_paths[1] FROM system.tables WHERE ${where}`, {
      format: 'TSVRaw',
    })
    return result.text().trim() || null
  }

  #kill(tag: string): void {
    const isOther = "query NOT LIKE '%system.processes%'"
    this.#control
      .queryAsync(`KILL QUERY WHERE position(query, ${quoteString(tag)}) > 0 AND ${isOther} ASYNC`, {
        format: 'Null',
      })
      .catch(() => {})
  }
}

async function runOnce(session: Session, sql: string, format = 'Null'): Promise<QueryStats> {
  try {
    return statsOf(await session.queryAsync(sql, { format }))
  } catch (cause) {
    throw faultOf(cause)
  }
}

function statsOf(result: { rowsRead: number; bytesRead: number; elapsed: number }): QueryStats {
  return { rowsRead: result.rowsRead, bytesRead: result.bytesRead, elapsedSeconds: result.elapsed }
}

/** An engine's words without the part of the query that the reader did not write. */
function withoutOurs(message: string, text: string): string {
  const place = /failed at position (\d+) .*?(?=\. Expected|$)/s.exec(message)
  const isBehind = place !== null && Number(place[1]) > Buffer.byteLength(text)
  const words = isBehind ? message.replace(place[0], 'failed at the end of the query') : message
  return words.replaceAll(/ INTO OUTFILE '[^']*('( TRUNCATE( FORMAT \w+)?)?|$)| \/\* reader \d+ \*\//g, '')
}

function makePipes(directory: string, count: number): string[] {
  const pipes = Array.from({ length: count }, (_, i) => join(directory, `result-${i}.pipe`))
  const missing = pipes.filter((pipe) => !existsSync(pipe))
  if (missing.length > 0) execFileSync('mkfifo', ['-m', '600', ...missing])
  return pipes
}
