/**
 * The store child: a forked process whose main thread owns chDB and serves ClickHouse's HTTP protocol on a
 * private Unix socket (the sink) and on a TCP port (analysts). It says `ready` or one `fault` to its parent,
 * and only the parent ends it: asked to stop, it takes no more requests, lets running inserts end, and exits
 * with 0; without a parent it is gone at once. Signals to the whole group it leaves to the parent.
 */
import { chmodSync, existsSync, rmSync } from 'node:fs'
import type { Server } from 'node:http'
import type { AddressInfo, ListenOptions } from 'node:net'
import { setPriority } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { assert } from '../../base/assert.ts'
import { takeLock } from '../file-lock.ts'
import { BodyFiles } from './body-files.ts'
import { ChdbEngine } from './chdb-engine.ts'
import {
  HOSTS_VARIABLE,
  PASSWORD_VARIABLE,
  type StoreChildConfig,
  type StoreChildEvent,
  type StoreChildRequest,
} from './child-messages.ts'
import { readBootId, repairStore } from './deduplication-log.ts'
import { writeEngineConfig } from './engine-config.ts'
import { type StoreStartCode, StoreStartError } from './errors.ts'
import { parseHostNames } from './http-access.ts'
import { createStoreServer } from './http-server.ts'

const WORKING_DIRECTORY = '/proc/self/cwd'
const STOP_MS_MAX = 10_000
/** Merges, inserts and queries leave the processors to those who acknowledge; at 19 inserts fall behind further. */
const NICENESS = 10
/** A store whose engine was killed is gone a moment later, on a busy machine seconds. */
const PREDECESSOR_WAIT_MS = 10_000

interface Servers {
  readonly trusted: Server
  /** Of analysts, or of writers where it is a store of its own. */
  readonly readers: Server | null
}

async function main(config: StoreChildConfig): Promise<void> {
  const hostNames = parseHostNames(process.env[HOSTS_VARIABLE] ?? '')
  lock(config)
  for (const line of repairStore(config.dataDirectory, config.runDirectory, readBootId())) console.error(line)
  const directory = enter(dirname(config.dataDirectory))
  const runDirectory = join(directory, basename(config.runDirectory))
  const configPath = writeEngineConfig(runDirectory, config.limits)
  const dataDirectory = join(directory, basename(config.dataDirectory))
  const engine = new ChdbEngine(dataDirectory, runDirectory, configPath, config.limits)
  const bodies = new BodyFiles(join(runDirectory, 'bodies'), config.limits.insertSizeBytesMax)
  const password = process.env[PASSWORD_VARIABLE] || null
  const common = { engine, bodies, password: null }
  const trusted = createStoreServer({ ...common, rights: 'trusted', listenHost: null, hostNames })
  rmSync(config.socketPath, { force: true })
  await listen(trusted, { path: config.socketPath })
  chmodSync(config.socketPath, 0o600)
  let readers: Server | null = null
  let address: { host: string; port: number } | null = null
  if (config.listen !== null) {
    const { host, port } = config.listen
    const rights = config.isWritable ? 'writer' : 'reader'
    readers = createStoreServer({ ...common, rights, listenHost: host, hostNames, password })
    await listen(readers, { host, port })
    address = { host, port: (readers.address() as AddressInfo).port }
  }
  stopWhenAsked({ trusted, readers }, engine, config.socketPath)
  send({ event: 'ready', address })
}

/**
 * Makes the directory the process's own, and returns a name for it that tells nothing of the machine: analysts see it in
 * system tables (`data_paths`) and in errors. Where there is no /proc, its real name.
 */
function enter(directory: string): string {
  process.chdir(directory)
  return existsSync(WORKING_DIRECTORY) ? WORKING_DIRECTORY : directory
}

/** Before anything is touched: what a predecessor left is repaired when it is gone, not before. */
function lock({ dataDirectory, runDirectory }: StoreChildConfig): void {
  const lock = takeLock(join(runDirectory, 'lock.db'), PREDECESSOR_WAIT_MS)
  if (lock === null) throw new StoreStartError('DIRECTORY_IN_USE', dataDirectory)
}

function listen(server: Server, where: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(listenError(cause, where)))
    server.listen(where, resolve)
  })
}

function listenError(cause: NodeJS.ErrnoException, { host, port, path }: ListenOptions): StoreStartError {
  const where = path ?? `${host}:${port}`
  const [code, message]: [StoreStartCode, string] =
    cause.code === 'EADDRINUSE'
      ? ['PORT_IN_USE', `${where} is in use: choose another port for the store, or 0 for a free one`]
      : cause.code === 'EACCES'
        ? ['LISTEN_REFUSED', `this user may not listen on ${where}: choose a port above 1023`]
        : [
            'ADDRESS_UNAVAILABLE',
            `cannot listen on ${where} (${cause.code}): name an address of this machine`,
          ]
  return new StoreStartError(code, message, { cause })
}

function stopWhenAsked(servers: Servers, engine: ChdbEngine, socketPath: string): void {
  process.once('message', ({ request }: StoreChildRequest) => {
    assert(request === 'stop', `the store knows no request ${request}`)
    setTimeout(() => process.exit(0), STOP_MS_MAX).unref()
    const all = Object.values(servers).filter((server) => server !== null)
    const closed = all.map((server) => new Promise((resolve) => server.close(resolve)))
    // Readers are sent away, which ends their queries; the sink's inserts are waited for.
    servers.readers?.closeAllConnections()
    servers.trusted.closeIdleConnections()
    void Promise.all(closed).then(async () => {
      rmSync(socketPath, { force: true })
      await engine.close()
      process.exit(0)
    })
  })
}

function send(event: StoreChildEvent, sent?: () => void): void {
  process.send?.(event, undefined, undefined, sent)
}

function refuse(cause: unknown): void {
  const code = cause instanceof StoreStartError ? cause.code : 'START_FAILED'
  const text = cause instanceof Error ? cause.message : String(cause)
  send({ event: 'fault', code, message: text.replaceAll(/\s*\n\s*/g, ' ') }, () => process.exit(1))
}

// Before there are other threads, which inherit it.
setPriority(NICENESS)
process.on('SIGTERM', () => {})
process.on('SIGINT', () => {})
// Not `process.exit`, which may crash amid chDB's threads. What was confirmed is on disk.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
main(JSON.parse(process.argv[2]) as StoreChildConfig).catch(refuse)
