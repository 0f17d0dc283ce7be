/**
 * ClickHouse's own record of the insert tokens it has seen, a text file beside a table's parts, made fit for
 * power cuts. ClickHouse syncs a part but neither its rename into place nor the record of its token, so after
 * a power cut a part may stand without its record (and its insert, sent again, would be stored twice), or a
 * confirmed insert be gone.
 *
 * `syncInsert` runs between the end of an insert and its confirmation: what was confirmed has its rename and
 * its record on disk. `repairStore` runs before the engine opens a directory: it cuts a torn last record off,
 * which ClickHouse would append to and trip over at the next start, and, when the machine was restarted
 * since, sets parts without a record aside: nobody was told that they are stored, so their inserts come
 * again.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'

const LOGS = 'deduplication_logs'
/** operation (1 adds, 2 drops), part, block id */
const RECORD = /^[12]\t([!-~]+)\t[!-~]+$/
/** A part as an insert makes it: partition, the same block number twice, level 0. */
const INSERTED_PART = /^.+_(\d+)_\1_0$/
const BLOCK_RANGE = /_(\d+)_(\d+)_\d+(?:_\d+)?$/
const BOOT_ID_FILE = 'boot-id'

/** Syncs what an insert into the table left unsynced. */
export async function syncInsert(tableDirectory: string): Promise<void> {
  const logs = join(tableDirectory, LOGS)
  const newest = latestLog(existsSync(logs) ? await readdir(logs) : [])
  if (newest !== null) await syncPath(join(logs, newest))
  await syncPath(tableDirectory)
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function latestLog(names: readonly string[]): string | null {
  const numberOf = (name: string): number => Number(/_(\d+)\.txt$/.exec(name)?.[1] ?? 0)
  return names.reduce<string | null>(
    (latest, name) => (latest === null || numberOf(name) > numberOf(latest) ? name : latest),
    null,
  )
}

/**
 * Repairs all tables under chDB's directory, and remembers this boot of the machine in the run directory.
 * `bootId` is null where the system tells none. Says what it did, a line each.
 */
export function repairStore(dataDirectory: string, runDirectory: string, bootId: string | null): string[] {
  const said: string[] = []
  const bootIdPath = join(runDirectory, BOOT_ID_FILE)
  const lastBootId = existsSync(bootIdPath) ? readFileSync(bootIdPath, 'utf8') : null
  const wasRestarted = bootId !== null && bootId !== lastBootId
  for (const table of tablesWithLogs(dataDirectory)) {
    const logged = readLogs(join(table, LOGS), said)
    if (wasRestarted) setAsideUnlogged(table, logged, said)
  }
  if (bootId !== null) writeFileSync(bootIdPath, bootId)
  return said
}

/** What the system calls the time since it was last started, or null. */
export function readBootId(): string | null {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return null
  }
}

/** An Atomic database keeps a table in `store/abc/abcdef01-...`. */
function tablesWithLogs(dataDirectory: string): string[] {
  const store = join(dataDirectory, 'store')
  if (!existsSync(store)) return []
  return readdirSync(store)
    .flatMap((prefix) => readdirSync(join(store, prefix)).map((uuid) => join(store, prefix, uuid)))
    .filter((table) => existsSync(join(table, LOGS)))
}

/** The highest block number on record, -1 for none. Cuts each log at its first unreadable record. */
function readLogs(logs: string, said: string[]): number {
  let highest = -1
  for (const name of readdirSync(logs)) {
    const path = join(logs, name)
    const text = readFileSync(path, 'latin1')
    let offset = 0
    while (offset < text.length) {
      const end = text.indexOf('\n', offset)
      const record = end < 0 ? null : RECORD.exec(text.slice(offset, end))
      if (record === null) {
        truncateSync(path, offset)
        said.push(`cut a torn record off ${path}`)
        break
      }
      highest = Math.max(highest, Number(BLOCK_RANGE.exec(record[1])?.[2] ?? -1))
      offset = end + 1
    }
  }
  return highest
}

/** Moves parts newer than the last record to `detached`, where they can be looked at and attached again. */
function setAsideUnlogged(table: string, highestLogged: number, said: string[]): void {
  for (const name of readdirSync(table)) {
    const block = INSERTED_PART.exec(name)?.[1]
    if (block === undefined || Number(block) <= highestLogged) continue
    mkdirSync(join(table, 'detached'), { recursive: true })
    renameSync(join(table, name), join(table, 'detached', `ignored_${name}`))
    said.push(`set aside ${join(table, name)}: its insert was not confirmed before the power went`)
  }
}
