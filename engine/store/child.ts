/**
 * The store child: a forked process whose main thread owns chDB and serves ClickHouse's HTTP protocol on a
 * private Unix socket (the sink) and on a TCP port (analysts). It says `ready` or one `fault` to its parent,
 * and ends with it: on SIGTERM or a lost parent it takes no more requests, lets running inserts end, and
 * exits with 0.
 */
import { chmodSync, rmSync } from 'node:fs'
import type { Server } from 'node:http'
import type { AddressInfo, ListenOptions } from 'node:net'
import { join } from 'node:path'
import { BodyFiles } from './body-files.ts'
import { ChdbEngine } from './chdb-engine.ts'
import { PASSWORD_VARIABLE, type StoreChildConfig, type StoreChildEvent } from './child-messages.ts'
import { readBootId, repairStore } from './deduplication-log.ts'
import { writeEngineConfig } from './engine-config.ts'
import { type StoreStartCode, StoreStartError } from './errors.ts'
import { createStoreServer } from './http-server.ts'

const STOP_MS_MAX = 10_000

interface Servers {
  readonly trusted: Server
  /** Of analysts, or of writers where it is a store of its own. */
  readonly readers: Server | null
}

async function main(config: StoreChildConfig): Promise<void> {
  for (const line of repairStore(config.dataDirectory, config.runDirectory, readBootId())) console.error(line)
  const configPath = writeEngineConfig(config.runDirectory, config.limits)
  const engine = new ChdbEngine(config.dataDirectory, config.runDirectory, configPath, config.limits)
  const bodies = new BodyFiles(join(config.runDirectory, 'bodies'), config.limits.insertSizeBytesMax)
  const password = process.env[PASSWORD_VARIABLE] || null
  const common = { engine, bodies, password: null }
  const trusted = createStoreServer({ ...common, rights: 'trusted', listenHost: null })
  rmSync(config.socketPath, { force: true })
  await listen(trusted, { path: config.socketPath })
  chmodSync(config.socketPath, 0o600)
  let readers: Server | null = null
  let address: { host: string; port: number } | null = null
  if (config.listen !== null) {
    const { host, port } = config.listen
    const rights = config.isWritable ? 'writer' : 'reader'
    readers = createStoreServer({ ...common, rights, listenHost: host, password })
    await listen(readers, { host, port })
    address = { host, port: (readers.address() as AddressInfo).port }
  }
  stopWithParent({ trusted, readers }, engine, config.socketPath)
  send({ event: 'ready', address })
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

function stopWithParent(servers: Servers, engine: ChdbEngine, socketPath: string): void {
  let isStopping = false
  const stop = (): void => {
    if (isStopping) return
    isStopping = true
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
  }
  process.on('SIGTERM', stop)
  process.on('disconnect', stop)
  // Ctrl-C reaches the whole group: the parent decides when its store ends.
  process.on('SIGINT', () => {})
}

function send(event: StoreChildEvent): void {
  process.send?.(event)
}

function report(cause: unknown): void {
  const code = cause instanceof StoreStartError ? cause.code : 'START_FAILED'
  const text = cause instanceof Error ? cause.message : String(cause)
  send({ event: 'fault', code, message: text.replaceAll(/\s*\n\s*/g, ' ') })
}

main(JSON.parse(process.argv[2]) as StoreChildConfig).catch((cause: unknown) => {
  report(cause)
  process.exitCode = 1
  process.disconnect?.()
  setImmediate(() => process.exit(1))
})
