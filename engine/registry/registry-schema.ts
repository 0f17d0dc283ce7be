/**
 * The registry's file: an SQLite database in write-ahead mode, so that the command line changes it while the engine reads. Every
 * change that matters to connections leaves a row in `changes`, by triggers: whoever makes it, with whatever tool.
 */
import { closeSync, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { EngineError } from '../engine-error.ts'

const SCHEMA_VERSION = 1

export interface RegistryOptions {
  /** How long a write waits for another process's. */
  waitMs: number
  /** Whether a change is on the disk when its call returns: else a power cut may take the last ones, and only those. */
  isDurable: boolean
}

const TABLES = `
CREATE TABLE devices (
  name TEXT PRIMARY KEY, role TEXT NOT NULL, isEnabled INTEGER NOT NULL, version TEXT, metadata TEXT NOT NULL,
  createdMs INTEGER NOT NULL, firstSeenMs INTEGER, lastSeenMs INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE memberships (
  device TEXT NOT NULL REFERENCES devices ON DELETE CASCADE, team TEXT NOT NULL, PRIMARY KEY (device, team)
) STRICT, WITHOUT ROWID;
CREATE INDEX members ON memberships (team, device);
CREATE TABLE credentials (
  id INTEGER PRIMARY KEY AUTOINCREMENT, device TEXT NOT NULL REFERENCES devices ON DELETE CASCADE,
  kind TEXT NOT NULL CHECK (kind IN ('password', 'token', 'certificate')), digest TEXT NOT NULL, createdMs INTEGER NOT NULL
) STRICT;
CREATE INDEX credentialsOfDevice ON credentials (device);
CREATE UNIQUE INDEX passwordOfDevice ON credentials (device) WHERE kind = 'password';
CREATE UNIQUE INDEX credentialsByDigest ON credentials (kind, digest);
CREATE TABLE changes (seq INTEGER PRIMARY KEY AUTOINCREMENT, device TEXT NOT NULL) STRICT;
`

const TRIGGERS = [
  ['devices', 'INSERT', 'new.name'],
  ['devices', 'UPDATE OF name, role, isEnabled', 'new.name'],
  ['devices', 'DELETE', 'old.name'],
  ['memberships', 'INSERT', 'new.device'],
  ['memberships', 'DELETE', 'old.device'],
  ['credentials', 'INSERT', 'new.device'],
  ['credentials', 'UPDATE', 'new.device'],
  ['credentials', 'DELETE', 'old.device'],
].map(
  ([table, event, device]) =>
    `CREATE TRIGGER ${table}After${event.split(' ')[0]} AFTER ${event} ON ${table} BEGIN INSERT INTO changes (device) VALUES (${device}); END;`,
)

/** Opens the file, and makes it when it is missing. Throws EngineError. */
export function openRegistryDatabase(path: string, { waitMs, isDurable }: RegistryOptions): DatabaseSync {
  let database: DatabaseSync | null = null
  try {
    closeSync(openSync(path, 'a', 0o600)) // SQLite's own files get the same rights
    database = new DatabaseSync(path, { enableForeignKeyConstraints: true })
    // Two that make it at once must not both find it empty.
    database.exec(
      `PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = ${isDurable ? 'FULL' : 'NORMAL'}; BEGIN IMMEDIATE`,
    )
    const version = Number(database.prepare('PRAGMA user_version').get()?.user_version)
    if (version === 0) database.exec(`${TABLES}${TRIGGERS.join('')}PRAGMA user_version = ${SCHEMA_VERSION}`)
    database.exec(`COMMIT; PRAGMA busy_timeout = ${waitMs}`)
    if (version <= SCHEMA_VERSION) return database
    database.close()
  } catch (error) {
    database?.close()
    throw new EngineError(
      'REGISTRY',
      `the registry ${path} can't be opened (${(error as Error).message})`,
      error,
    )
  }
  throw new EngineError('REGISTRY', `the registry ${path} is of a newer millrace`)
}
