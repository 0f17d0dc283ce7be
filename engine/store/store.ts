/**
 * The parent's side of the store: starts the child over a data directory, hands out its addresses, stops it.
 * What can be wrong with the directory or the port comes back as a StoreStartError of one line.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { accessSync, chmodSync, constants, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeDirectory } from '../make-directory.ts'
import type { ListenAddress, StoreChildConfig, StoreChildEvent, StoreChildRequest } from './child-messages.ts'
import { defaultLimits, type EngineLimits } from './engine-config.ts'
import { type StoreStartCode, StoreStartError } from './errors.ts'

export interface StoreOptions {
  /** The engine's data directory; the store keeps to `store` and `store-run` in it. */
  readonly directory: string
  /** The analysts' port, 0 for a free one; null for none. */
  readonly listen: ListenAddress | null
  /** The TCP port takes inserts and DDL too: for a store that runs alone. */
  readonly isWritable?: boolean
  readonly limits?: Partial<EngineLimits>
  /** Lines the child writes of itself, which it does only when something is wrong. */
  readonly log?: (line: string) => void
  /** Ends a child that is still starting; `stop` is for one that has started. */
  readonly signal?: AbortSignal
}

export interface StoreExit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface StoreHandle {
  readonly socketPath: string
  readonly address: ListenAddress | null
  readonly pid: number
  /** Resolves when the process has ended, whether asked to or not. */
  readonly exited: Promise<StoreExit>
  /** Lets running inserts end, then the process. */
  stop(): Promise<void>
}

const SOCKET_PATH_SIZE_BYTES_MAX = 100
const START_MS_MAX = 60_000
const STOP_MS_MAX = 15_000
/** Inserts, readers' queries, and the file calls that must never wait for them. */
const LIBUV_THREADS = 16

/** Starts the store child and waits until it serves (about 0.2 s). Throws a StoreStartError. */
export async function startStore(options: StoreOptions): Promise<StoreHandle> {
  const config = childConfig(options)
  const child = fork(fileURLToPath(new URL('./child.ts', import.meta.url)), [JSON.stringify(config)], {
    execArgv: ['--disable-warning=ExperimentalWarning'], // SQLite's, which is the lock
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...process.env, UV_THREADPOOL_SIZE: String(LIBUV_THREADS), TZ: 'UTC' },
  })
  const lastLines = relayLines(child, options.log ?? (() => {}))
  const exited = new Promise<StoreExit>((settle) => {
    // Not 'exit': what the child wrote last has been read by now too.
    child.once('close', (code, signal) => settle({ code, signal }))
  })
  const socketDirectory = dirname(config.socketPath)
  if (socketDirectory !== config.runDirectory) {
    void exited.then(() => rmSync(socketDirectory, { recursive: true, force: true }))
  }
  const kill = () => child.kill('SIGKILL')
  options.signal?.addEventListener('abort', kill)
  const address = await readiness(child, exited, lastLines).finally(() =>
    options.signal?.removeEventListener('abort', kill),
  )
  return {
    socketPath: config.socketPath,
    address,
    pid: child.pid as number,
    exited,
    stop: () => stop(child, exited),
  }
}

function childConfig(options: StoreOptions): StoreChildConfig {
  const directory = resolve(options.directory)
  const dataDirectory = join(directory, 'store')
  const runDirectory = join(directory, 'store-run')
  try {
    makeDirectory(dataDirectory)
    makeDirectory(runDirectory)
    chmodSync(runDirectory, 0o700)
    accessSync(dataDirectory, constants.R_OK | constants.W_OK | constants.X_OK)
    accessSync(runDirectory, constants.W_OK)
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code
    throw new StoreStartError(
      'DIRECTORY_NOT_WRITABLE',
      `${directory} cannot be written (${reason}): ` +
        'name another data directory, or give this user the right to it',
      { cause },
    )
  }
  return {
    dataDirectory,
    runDirectory,
    socketPath: socketPathIn(runDirectory),
    listen: options.listen,
    isWritable: options.isWritable ?? false,
    limits: { ...defaultLimits(), ...options.limits },
  }
}

/**
 * A socket's path is short by law; a deep data directory gets one in the system's directory for such files.
 */
function socketPathIn(runDirectory: string): string {
  const path = join(runDirectory, 'store.sock')
  if (Buffer.byteLength(path) <= SOCKET_PATH_SIZE_BYTES_MAX) return path
  return join(mkdtempSync(join(tmpdir(), 'millrace-')), 'store.sock')
}

/** Passes on what the child writes, and remembers the last of it for a start that fails. */
function relayLines(child: ChildProcess, log: (line: string) => void): string[] {
  const last: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    let rest = ''
    stream?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = (lines.pop() as string).slice(-4096)
      for (const line of lines) {
        if (last.push(line) > 5) last.shift()
        log(line)
      }
    })
  }
  return last
}

async function readiness(
  child: ChildProcess,
  exited: Promise<StoreExit>,
  lastLines: readonly string[],
): Promise<ListenAddress | null> {
  const timer = setTimeout(() => child.kill('SIGKILL'), START_MS_MAX)
  const event = await Promise.race([firstEvent(child), exited.then(() => null)]).finally(() =>
    clearTimeout(timer),
  )
  if (event?.event === 'ready') return event.address
  const { code, signal } = await exited
  throw startError(event?.code ?? 'START_FAILED', event?.message ?? `ended with ${signal ?? code}`, lastLines)
}

function firstEvent(child: ChildProcess): Promise<StoreChildEvent> {
  return new Promise((settle) => {
    child.once('message', settle)
    child.once('error', ({ message }) => settle({ event: 'fault', code: 'START_FAILED', message }))
  })
}

/** chDB says why it cannot open a directory on its standard error only. */
function startError(code: StoreStartCode, message: string, lastLines: readonly string[]): StoreStartError {
  const words = lastLines.join(' ')
  const inUse = code === 'DIRECTORY_IN_USE' ? message : /Cannot lock file (\S+)\/status/.exec(words)?.[1]
  if (inUse !== undefined) {
    const advice = 'stop that process, or name another data directory'
    return new StoreStartError('DIRECTORY_IN_USE', `${inUse} is in use by another store: ${advice}`)
  }
  if (code !== 'START_FAILED') return new StoreStartError(code, message)
  return new StoreStartError(code, `the store could not start: ${message} ${words}`.trim().slice(0, 600))
}

async function stop(child: ChildProcess, exited: Promise<StoreExit>): Promise<void> {
  const request: StoreChildRequest = { request: 'stop' }
  child.send(request, () => {}) // one that has died takes no request
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX)
  await exited
  clearTimeout(timer)
}
