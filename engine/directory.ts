/**
 * The data directory: whose it is, and that only one engine uses it. Owned by the main thread.
 *
 *   millrace.json   what the journals were written under: format version, store id, shards, streams and what becomes of
 *                   their readings
 *   drained         is there while nothing in the journals waits for ClickHouse: after a clean stop
 *   starts          how often an engine was started here
 *   lock.db         an SQLite database that the engine holds locked; the kernel lets go of it when the process dies
 *   journal/N/      the journal of shard N
 *   journal/sessions/  sessions, retained messages and wills: it outlives the others, and says itself what it is
 *   store/          the embedded ClickHouse, and store-run/ what it needs while it runs
 */
import { randomBytes, randomInt } from 'node:crypto'
import {
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { assert } from '../base/assert.ts'
import type { ConfigLayout } from './config-layout.ts'
import { EngineError } from './engine-error.ts'
import { type FileLock, takeLock } from './file-lock.ts'
import { makeDirectory } from './make-directory.ts'

const NAME = 'millrace.json'
const DRAINED = 'drained'
const SESSIONS = 'sessions'
const FORMAT_VERSION = 2
const GENERATIONS_SINCE_MS = Date.UTC(2020)
const START_COUNT_MAX = 2 ** 20 - 1
/** An engine that was killed may take a moment to be gone, on a busy machine seconds. */
const PREDECESSOR_WAIT_MS = 10_000

/** What the journals depend on: readings are dealt out, decoded, cut into windows and numbered by it. */
export interface Layout extends ConfigLayout {
  shards: number
}

export interface Identity extends Layout {
  formatVersion: number
  /** Of these journals; tokens of inserts begin with it. */
  storeId: string
  /** Rises with each layout that began new journals, on the same ClickHouse: versions of rows begin with it. */
  generation: number
  /** Whether readings came before these journals began: their windows are in ClickHouse. */
  hasPast: boolean
}

export class DataDirectory {
  readonly path: string
  #lock: FileLock
  #identity: Identity | null

  /** Opens the directory and makes it when it is missing. Throws EngineError. */
  constructor(path: string) {
    this.path = path
    makeWritable(path)
    this.#lock = lock(path)
    try {
      const file = join(path, NAME)
      this.#identity = existsSync(file) ? readIdentity(file) : null
    } catch (error) {
      this.#lock.release()
      throw error
    }
  }

  /** What the journals here were written under; null in a new directory. */
  get identity(): Identity | null {
    return this.#identity
  }

  /** Whether journals under `layout` go on where those here end. */
  fits(layout: Layout): boolean {
    if (this.#identity === null) return false
    const { shards, streams, windows, metricsPerDeviceMax, detectedSeriesMax } = this.#identity
    return isDeepStrictEqual({ shards, streams, windows, metricsPerDeviceMax, detectedSeriesMax }, layout)
  }

  /**
   * Whether journals under `layout` can go on where drained ones end: streams are known by number in journals and snapshots, so
   * new ones may only come last.
   */
  canContinue({ shards, streams }: Layout): boolean {
    const known = this.#identity
    if (known === null || known.shards !== shards) return false
    return known.streams.every((stream, index) => {
      const next = streams[index]
      return next !== undefined && next.name === stream.name && next.topic === stream.topic
    })
  }

  /**
   * Begins new journals under `layout`; what was in the old ones is in ClickHouse. They get a store id of their own: marks
   * begin anew, and tokens must not be those of before.
   */
  begin(layout: Layout): Identity {
    const storeId = randomBytes(16).toString('hex')
    const hasPast = this.#identity !== null
    // By the days, a directory that was lost has no greater one than its successor's.
    const days = Math.floor((Date.now() - GENERATIONS_SINCE_MS) / 86_400_000)
    const generation = Math.max((this.#identity?.generation ?? 0) + 1, days)
    const journals = join(this.path, 'journal')
    for (const name of readdirSync(journals)) {
      if (name !== SESSIONS) rmSync(join(journals, name), { recursive: true })
    }
    return this.#save({ formatVersion: FORMAT_VERSION, storeId, generation, hasPast, ...layout })
  }

  /** Goes on with the journals, which `canContinue` and are drained, under another layout. */
  continue(layout: Layout): Identity {
    assert(this.#identity !== null && this.canContinue(layout), 'the journals can go on under the layout')
    return this.#save({ ...this.#identity, ...layout })
  }

  /** Whether the last engine has brought all of the journals to ClickHouse, windows too: another config may go on with them. */
  get isDrained(): boolean {
    return existsSync(join(this.path, DRAINED))
  }

  /** The next message makes `isDrained` false. A full disk has room for that, and for the opposite it need not. */
  noteUndrained(): void {
    rmSync(join(this.path, DRAINED), { force: true })
    syncPath(this.path)
  }

  noteDrained(): void {
    try {
      writeFileSync(join(this.path, DRAINED), '')
      syncPath(this.path)
    } catch {
      // then the next start with another config looks for itself
    }
  }

  #save(identity: Identity): Identity {
    save(join(this.path, NAME), identity)
    this.#identity = identity
    return identity
  }

  /**
   * The number of this start, 1 to 2^20 - 1: no other start has it whose messages may still be delivered again. Written in
   * place, for which a full disk has room.
   */
  countStart(): number {
    const file = join(this.path, 'starts')
    const last = existsSync(file) ? Number(readFileSync(file, 'latin1')) : 0
    const count =
      Number.isInteger(last) && last >= 0 ? (last % START_COUNT_MAX) + 1 : randomInt(1, START_COUNT_MAX)
    const descriptor = openSync(file, constants.O_RDWR | constants.O_CREAT)
    try {
      writeSync(descriptor, String(count).padStart(8, '0'), 0)
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    return count
  }

  journalPath(shard: number): string {
    return join(this.path, 'journal', String(shard))
  }

  get sessionsPath(): string {
    return join(this.path, 'journal', SESSIONS)
  }

  close(): void {
    this.#lock.release()
  }
}

function makeWritable(path: string): void {
  try {
    makeDirectory(join(path, 'journal'))
    const probe = join(path, '.writable')
    writeFileSync(probe, '')
    rmSync(probe)
  } catch (error) {
    throw new EngineError(
      'DATA_NOT_WRITABLE',
      `data directory ${path} can't be written (${(error as NodeJS.ErrnoException).code}): choose another with --data DIR`,
      error,
    )
  }
}

function lock(path: string): FileLock {
  let lock: FileLock | null
  try {
    lock = takeLock(join(path, 'lock.db'), PREDECESSOR_WAIT_MS)
  } catch (error) {
    throw new EngineError(
      'DATA_NOT_WRITABLE',
      `data directory ${path} can't be locked (${(error as Error).message}): choose another with --data DIR`,
      error,
    )
  }
  if (lock !== null) return lock
  throw new EngineError(
    'DATA_IN_USE',
    `data directory ${path} is in use by another millrace: stop that one, or choose another with --data DIR`,
  )
}

function readIdentity(file: string): Identity {
  let identity: Partial<Identity> = {}
  try {
    identity = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    // said below, with everything else that may be wrong with it
  }
  const { formatVersion, storeId, shards, streams, windows } = identity
  const isWhole = Number.isInteger(shards) && Array.isArray(streams) && typeof windows === 'object'
  if (!isWhole || !/^[0-9a-f]{32}$/.test(storeId ?? '') || formatVersion !== FORMAT_VERSION) {
    throw new EngineError(
      'DATA_FOREIGN',
      `${file} is not of this version of millrace: choose another directory with --data DIR`,
    )
  }
  return identity as Identity
}

/** In place of what was there, or not at all. */
function save(file: string, identity: Identity): void {
  writeFileSync(`${file}.new`, `${JSON.stringify(identity)}\n`)
  syncPath(`${file}.new`)
  renameSync(`${file}.new`, file)
  syncPath(dirname(file))
}

function syncPath(path: string): void {
  const descriptor = openSync(path, 'r')
  fsyncSync(descriptor)
  closeSync(descriptor)
}
