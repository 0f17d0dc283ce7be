/**
 * The devices, as a file holds them. Owned by the main thread of the engine, or of a command; every call is synchronous and
 * takes microseconds, a change is one transaction.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import type { Credential, CredentialKind, Device, DeviceRights, NewCredential } from './device.ts'
import { openRegistryDatabase, type RegistryOptions } from './registry-schema.ts'

export const REGISTRY_NAME = 'registry.db'

export type NewDevice = Pick<Device, 'name' | 'role' | 'groups' | 'isEnabled' | 'version' | 'metadata'> & {
  credentials: NewCredential[]
}

/** What is left out stays as it is. */
export interface DeviceChange
  extends Partial<Pick<Device, 'role' | 'groups' | 'isEnabled' | 'version' | 'metadata'>> {
  /** In addition to those that it has; a password takes the place of the one before. */
  credentials?: NewCredential[]
  /** Takes all of that kind away first. */
  clears?: CredentialKind[]
}

export interface DeviceFilter {
  group?: string
  role?: string
  isEnabled?: boolean
}

/** A connection of a device began or ended. */
export interface Sighting {
  device: string
  seenMs: number
  /** Null when it told none. */
  version: string | null
}

/** A name or a digest is there already. */
export class RegistryConflict extends Error {}

const SQLITE_CONSTRAINT = 19

interface DeviceRow {
  name: string
  role: string
  isEnabled: number
  version: string | null
  metadata: string
  createdMs: number
  firstSeenMs: number | null
  lastSeenMs: number | null
  teams: string
}

const DEVICE_COLUMNS = `d.*, (SELECT json_group_array(team) FROM (SELECT team FROM memberships WHERE device = d.name ORDER BY team)) AS teams`

export class Registry {
  #database: DatabaseSync
  #statements = new Map<string, StatementSync>()

  /** Throws EngineError. */
  constructor(path: string, options: RegistryOptions) {
    this.#database = openRegistryDatabase(path, options)
  }

  device(name: string): Device | null {
    const row = this.#get<DeviceRow>(`SELECT ${DEVICE_COLUMNS} FROM devices d WHERE name = ?`, name)
    return row === undefined ? null : deviceOf(row)
  }

  /** In the order of their names. */
  *devices({ group, role, isEnabled }: DeviceFilter = {}): Generator<Device> {
    const rows = this.#prepare(
      `SELECT ${DEVICE_COLUMNS} FROM devices d WHERE (?1 IS NULL OR name IN (SELECT device FROM memberships WHERE team = ?1))
       AND (?2 IS NULL OR role = ?2) AND (?3 IS NULL OR isEnabled = ?3) ORDER BY name`,
    ).iterate(group ?? null, role ?? null, isEnabled === undefined ? null : Number(isEnabled))
    for (const row of rows) yield deviceOf(row as unknown as DeviceRow)
  }

  credentialsOf(name: string): Credential[] {
    return this.#all<Credential>(
      'SELECT id, kind, digest, createdMs FROM credentials WHERE device = ? ORDER BY id',
      name,
    )
  }

  /** Whose token or certificate that is. */
  findCredential(kind: CredentialKind, digest: string): { id: number; device: string } | null {
    const sql = 'SELECT id, device FROM credentials WHERE kind = ? AND digest = ?'
    return this.#get<{ id: number; device: string }>(sql, kind, digest) ?? null
  }

  passwordOf(name: string): { id: number; digest: string } | null {
    const sql = `SELECT id, digest FROM credentials WHERE device = ? AND kind = 'password'`
    return this.#get<{ id: number; digest: string }>(sql, name) ?? null
  }

  rightsOf(name: string): DeviceRights | null {
    const device = this.device(name)
    if (device === null) return null
    const { role, groups, isEnabled } = device
    const ids = this.#all<{ id: number }>('SELECT id FROM credentials WHERE device = ?', name)
    return { name, role, groups, isEnabled, credentials: ids.map(({ id }) => id) }
  }

  /** The names of those in a group that are enabled. */
  membersOf(group: string): string[] {
    const sql = 'SELECT device FROM memberships JOIN devices ON name = device WHERE team = ? AND isEnabled'
    return this.#all<{ device: string }>(sql, group).map(({ device }) => device)
  }

  /** All of them, or none. Throws RegistryConflict. */
  add(devices: readonly NewDevice[], nowMs: number): void {
    this.#transaction(() => {
      const insert = this.#prepare(
        'INSERT INTO devices (name, role, isEnabled, version, metadata, createdMs) VALUES (?, ?, ?, ?, ?, ?)',
      )
      for (const { name, role, groups, isEnabled, version, metadata, credentials } of devices) {
        this.#unlessTaken(`${name} is registered already`, () =>
          insert.run(name, role, Number(isEnabled), version, JSON.stringify(metadata), nowMs),
        )
        this.#join(name, groups)
        for (const credential of credentials) this.#addCredential(name, credential, nowMs)
      }
    })
  }

  /** False, with nothing changed, when there is no such device. Throws RegistryConflict. */
  change(name: string, change: DeviceChange, nowMs: number): boolean {
    return this.#transaction(() => {
      const device = this.device(name)
      if (device === null) return false
      const { role, groups, isEnabled, version, metadata } = { ...device, ...change }
      this.#prepare(
        'UPDATE devices SET role = ?, isEnabled = ?, version = ?, metadata = ? WHERE name = ?',
      ).run(role, Number(isEnabled), version, JSON.stringify(metadata), name)
      if (change.groups !== undefined) {
        this.#prepare('DELETE FROM memberships WHERE device = ?').run(name)
        this.#join(name, groups)
      }
      const clear = this.#prepare('DELETE FROM credentials WHERE device = ? AND kind = ?')
      for (const kind of change.clears ?? []) clear.run(name, kind)
      for (const credential of change.credentials ?? []) {
        if (credential.kind === 'password') clear.run(name, 'password')
        this.#addCredential(name, credential, nowMs)
      }
      return true
    })
  }

  /** Those of the names that there were, all in one go when there were all, else none is removed. Returns the missing. */
  remove(names: readonly string[]): string[] {
    return this.#transaction(() => {
      const missing = names.filter((name) => this.device(name) === null)
      if (missing.length > 0) return missing
      for (const name of names) this.#prepare('DELETE FROM devices WHERE name = ?').run(name)
      return []
    })
  }

  noteSeen(sightings: readonly Sighting[]): void {
    this.#transaction(() => {
      const update = this.#prepare(
        `UPDATE devices SET firstSeenMs = COALESCE(firstSeenMs, ?2), lastSeenMs = MAX(COALESCE(lastSeenMs, 0), ?2),
         version = COALESCE(?3, version) WHERE name = ?1`,
      )
      for (const { device, seenMs, version } of sightings) update.run(device, seenMs, version)
    })
  }

  /** Another number when another process, or another Registry, has changed anything. */
  get dataVersion(): number {
    return Number(this.#get<{ data_version: number }>('PRAGMA data_version')?.data_version)
  }

  /** The number of the last change; 0 when no device was ever registered. */
  get lastChange(): number {
    const sql = `SELECT seq FROM sqlite_sequence WHERE name = 'changes'`
    return this.#get<{ seq: number }>(sql)?.seq ?? 0
  }

  /** Which devices changed after that change. */
  changedSince(seq: number): string[] {
    const sql = 'SELECT DISTINCT device FROM changes WHERE seq > ?'
    return this.#all<{ device: string }>(sql, seq).map(({ device }) => device)
  }

  /** Nobody will ask for changes up to that one again. */
  forgetChanges(seq: number): void {
    this.#prepare('DELETE FROM changes WHERE seq <= ?').run(seq)
  }

  close(): void {
    this.#statements.clear()
    this.#database.close()
  }

  #join(name: string, groups: readonly string[]): void {
    const join = this.#prepare('INSERT OR IGNORE INTO memberships (device, team) VALUES (?, ?)')
    for (const group of groups) join.run(name, group)
  }

  #addCredential(name: string, { kind, digest }: NewCredential, nowMs: number): void {
    const sql = 'INSERT INTO credentials (device, kind, digest, createdMs) VALUES (?, ?, ?, ?)'
    const taken = `the ${kind} of ${name} is registered already, for this device or another`
    this.#unlessTaken(taken, () => this.#prepare(sql).run(name, kind, digest, nowMs))
  }

  #unlessTaken(message: string, insert: () => void): void {
    try {
      insert()
    } catch (error) {
      if (((error as { errcode?: number }).errcode ?? 0) % 256 !== SQLITE_CONSTRAINT) throw error
      throw new RegistryConflict(message, { cause: error })
    }
  }

  #transaction<T>(work: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      const result = work()
      this.#database.exec('COMMIT')
      return result
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      throw error
    }
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.#database.prepare(sql)
      this.#statements.set(sql, statement)
    }
    return statement
  }

  #get<Row>(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#prepare(sql).get(...values) as Row | undefined
  }

  #all<Row>(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#prepare(sql).all(...values) as Row[]
  }
}

function deviceOf({ teams, metadata, isEnabled, ...row }: DeviceRow): Device {
  return { ...row, isEnabled: isEnabled === 1, metadata: JSON.parse(metadata), groups: JSON.parse(teams) }
}

/** Whether a device was ever registered in that data directory. What can't be read is for a start to tell. */
export function hasDevices(dataPath: string): boolean {
  const path = join(dataPath, REGISTRY_NAME)
  if (!existsSync(path)) return false
  let registry: Registry | null = null
  try {
    registry = new Registry(path, { waitMs: 0, isDurable: false })
    return registry.lastChange > 0
  } catch {
    return true
  } finally {
    registry?.close()
  }
}
