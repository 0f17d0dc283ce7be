/**
 * The data directory: whose it is, and that only one engine uses it. Owned by the main thread.
 *
 *   millrace.json   format version, store id, number of shards
 *   lock.db         an SQLite database that the engine holds locked; the kernel lets go of it when the process dies
 *   journal/N/      the journal of shard N
 *   store/          the embedded ClickHouse, and store-run/ what it needs while it runs
 */
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { SEGMENT_HEADER_SIZE_BYTES } from '../codecs/journal/batch.ts'
import { EngineError } from './engine-error.ts'
import { type FileLock, takeLock } from './file-lock.ts'

const FORMAT_VERSION = 1
/** An engine that was killed may take a moment to be gone. */
const PREDECESSOR_WAIT_MS = 3000

interface Identity {
  formatVersion: number
  storeId: string
  shards: number
}

export class DataDirectory {
  readonly path: string
  readonly storeId: Uint8Array
  readonly shards: number
  #lock: FileLock

  /**
   * Opens the directory and makes it when it is missing. `shards` null means: as many as it has, or `shardsDefault`.
   * Throws EngineError.
   */
  constructor(path: string, shards: number | null, shardsDefault: number) {
    this.path = path
    makeWritable(path)
    this.#lock = lock(path)
    try {
      const identity = identify(path, shards, shardsDefault)
      this.shards = identity.shards
      this.storeId = Buffer.from(identity.storeId, 'hex')
    } catch (error) {
      this.#lock.release()
      throw error
    }
  }

  journalPath(shard: number): string {
    return join(this.path, 'journal', String(shard))
  }

  close(): void {
    this.#lock.release()
  }
}

function makeWritable(path: string): void {
  try {
    mkdirSync(join(path, 'journal'), { recursive: true })
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

function identify(path: string, shards: number | null, shardsDefault: number): Identity {
  const file = join(path, 'millrace.json')
  const fresh = () => ({
    formatVersion: FORMAT_VERSION,
    storeId: randomBytes(16).toString('hex'),
    shards: shards ?? shardsDefault,
  })
  if (!existsSync(file)) return save(file, fresh())
  const identity = readIdentity(file)
  if (shards === null || shards === identity.shards) return identity
  if (!isDrained(path)) {
    throw new EngineError(
      'SHARDS_DIFFER',
      `data directory ${path} holds unsent data of ${identity.shards} shards: start it with --shards ${identity.shards}, ` +
        'stop it with SIGTERM so that it drains, then change the number',
    )
  }
  rmSync(join(path, 'journal'), { recursive: true })
  mkdirSync(join(path, 'journal'))
  return save(file, fresh()) // with an id of its own: marks begin anew, and tokens must not be those of before
}

function readIdentity(file: string): Identity {
  let identity: Partial<Identity> = {}
  try {
    identity = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    // said below, with everything else that may be wrong with it
  }
  const { formatVersion, storeId, shards } = identity
  const isValid =
    /^[0-9a-f]{32}$/.test(storeId ?? '') && Number.isInteger(shards) && formatVersion === FORMAT_VERSION
  if (!isValid) {
    throw new EngineError(
      'DATA_FOREIGN',
      `${file} is not of this version of millrace: choose another directory with --data DIR`,
    )
  }
  return identity as Identity
}

function save(file: string, identity: Identity): Identity {
  writeFileSync(`${file}.new`, `${JSON.stringify(identity)}\n`)
  const descriptor = openSync(`${file}.new`, 'r')
  fsyncSync(descriptor)
  closeSync(descriptor)
  renameSync(`${file}.new`, file)
  return identity
}

/** Whether every journal is as a clean stop leaves it: segments without a batch. */
function isDrained(path: string): boolean {
  const journals = join(path, 'journal')
  return readdirSync(journals).every((shard) =>
    readdirSync(join(journals, shard)).every(
      (name) => statSync(join(journals, shard, name)).size <= SEGMENT_HEADER_SIZE_BYTES,
    ),
  )
}
