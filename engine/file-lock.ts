/**
 * A lock between processes that the kernel takes back when its holder dies, unlike a pid file: an SQLite database that
 * is held locked.
 */
import { DatabaseSync } from 'node:sqlite'

const SQLITE_BUSY = 5

/** Those of this process: a database that nobody refers to would be closed, and with it the lock. */
const held = new Set<DatabaseSync>()

export interface FileLock {
  release(): void
}

/**
 * Takes the lock in the file `path`, made when it is missing; blocks for at most `waitMs` while another process holds
 * it, which may be a predecessor that is just dying. Null when it still does. Throws what SQLite throws.
 */
export function takeLock(path: string, waitMs: number): FileLock | null {
  const database = new DatabaseSync(path)
  try {
    database.exec(`PRAGMA busy_timeout = ${waitMs}; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE`)
  } catch (error) {
    database.close()
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return null
    throw error
  }
  held.add(database)
  return {
    release() {
      held.delete(database)
      database.close()
    },
  }
}
