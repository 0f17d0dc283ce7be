import { statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, describe, expect, test } from 'vitest'
import { temporaryDirectory } from '../engine-process.ts'
import { type NewDevice, Registry, RegistryConflict } from './registry.ts'

const cleanups: (() => void)[] = []

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

function newPath(): string {
  const directory = temporaryDirectory()
  cleanups.push(directory.remove)
  return join(directory.path, 'registry.db')
}

function open(path: string): Registry {
  const registry = new Registry(path, { waitMs: 1000, isDurable: false })
  cleanups.push(() => registry.close())
  return registry
}

function device(name: string, fields: Partial<NewDevice> = {}): NewDevice {
  return {
    name,
    role: 'device',
    groups: [],
    isEnabled: true,
    version: null,
    metadata: {},
    credentials: [],
    ...fields,
  }
}

describe('what is written is read, by another process too', () => {
  test('devices, groups, credentials', () => {
    const path = newPath()
    const writer = open(path)
    const reader = open(path)
    writer.add(
      [
        device('pump', { groups: ['hall', 'all'], metadata: { site: 'B' }, version: '1.2' }),
        device('fan', { credentials: [{ kind: 'token', digest: 'aa' }], isEnabled: false, role: 'gateway' }),
      ],
      1000,
    )
    expect(reader.device('pump')).toEqual({
      name: 'pump',
      role: 'device',
      groups: ['all', 'hall'],
      isEnabled: true,
      version: '1.2',
      metadata: { site: 'B' },
      createdMs: 1000,
      firstSeenMs: null,
      lastSeenMs: null,
    })
    expect([...reader.devices({ isEnabled: false })].map(({ name }) => name)).toEqual(['fan'])
    expect([...reader.devices({ group: 'hall' })].map(({ name }) => name)).toEqual(['pump'])
    expect([...reader.devices({ role: 'gateway' })].map(({ name }) => name)).toEqual(['fan'])
    expect(reader.membersOf('all')).toEqual(['pump'])
    const found = reader.findCredential('token', 'aa')
    expect(found?.device).toBe('fan')
    expect(reader.rightsOf('fan')).toEqual({
      name: 'fan',
      role: 'gateway',
      groups: [],
      isEnabled: false,
      credentials: [found?.id],
    })
    expect(reader.findCredential('certificate', 'aa')).toBeNull()
  })

  test('a removed device leaves nothing', () => {
    const registry = open(newPath())
    registry.add([device('a', { groups: ['g'], credentials: [{ kind: 'token', digest: 'x' }] })], 1)
    expect(registry.remove(['a', 'b'])).toEqual(['b'])
    expect(registry.device('a')).not.toBeNull()
    expect(registry.remove(['a'])).toEqual([])
    expect(registry.membersOf('g')).toEqual([])
    registry.add([device('a', { credentials: [{ kind: 'token', digest: 'x' }] })], 2)
    expect(registry.device('a')).toMatchObject({ groups: [], createdMs: 2 })
  })
})

test('a conflict changes nothing', () => {
  const registry = open(newPath())
  registry.add([device('a', { credentials: [{ kind: 'certificate', digest: 'x' }] })], 1)
  const clash = device('c', { credentials: [{ kind: 'certificate', digest: 'x' }] })
  expect(() => registry.add([device('b'), clash], 2)).toThrow(RegistryConflict)
  expect(() => registry.add([device('b'), device('a')], 2)).toThrow('a is registered already')
  expect([...registry.devices()].map(({ name }) => name)).toEqual(['a'])
})

test('a new password takes the place of the one before; tokens add up until they are cleared', () => {
  const registry = open(newPath())
  registry.add([device('a', { credentials: [{ kind: 'password', digest: 'p1' }] })], 1)
  const old = registry.passwordOf('a')
  registry.change('a', { credentials: [{ kind: 'password', digest: 'p2' }] }, 2)
  expect(registry.passwordOf('a')?.digest).toBe('p2')
  expect(registry.passwordOf('a')?.id).not.toBe(old?.id)
  for (const digest of ['t1', 't2']) registry.change('a', { credentials: [{ kind: 'token', digest }] }, 3)
  expect(registry.credentialsOf('a').map(({ digest }) => digest)).toEqual(['p2', 't1', 't2'])
  registry.change('a', { clears: ['token'], credentials: [{ kind: 'token', digest: 't3' }] }, 4)
  expect(registry.credentialsOf('a').map(({ digest }) => digest)).toEqual(['p2', 't3'])
  expect(registry.change('b', {}, 5)).toBe(false)
})

describe('changes', () => {
  test('each that matters to connections is told of, with whatever tool it is made', () => {
    const path = newPath()
    const registry = open(path)
    expect(registry.lastChange).toBe(0)
    registry.add([device('a', { groups: ['g'] }), device('b'), device('c')], 1)
    const since = () => {
      const seq = registry.lastChange
      return () => registry.changedSince(seq).sort()
    }
    const other = new DatabaseSync(path, { enableForeignKeyConstraints: true })
    cleanups.push(() => other.close())
    for (const [sql, expected] of [
      [`UPDATE devices SET isEnabled = 0 WHERE name = 'a'`, ['a']],
      [`INSERT INTO memberships VALUES ('b', 'g')`, ['b']],
      [`DELETE FROM memberships WHERE team = 'g'`, ['a', 'b']],
      [`INSERT INTO credentials (device, kind, digest, createdMs) VALUES ('c', 'token', 'x', 1)`, ['c']],
      [`DELETE FROM credentials`, ['c']],
      [`DELETE FROM devices WHERE name = 'b'`, ['b']],
      [`UPDATE devices SET lastSeenMs = 1, version = 'x'`, []],
    ] as const) {
      const version = registry.dataVersion
      const changed = since()
      other.exec(sql)
      expect({ sql, changed: changed() }).toEqual({ sql, changed: expected })
      expect(registry.dataVersion).not.toBe(version)
    }
  })

  test('that a device was ever registered outlasts the device, and what is forgotten', () => {
    const path = newPath()
    const registry = open(path)
    registry.add([device('a')], 1)
    registry.remove(['a'])
    const last = registry.lastChange
    registry.forgetChanges(last)
    expect(open(path).lastChange).toBe(last)
    expect(last).toBeGreaterThan(0)
  })
})

test('sightings keep the first and the last, and take no older one back', () => {
  const registry = open(newPath())
  registry.add([device('a', { version: '1' })], 1)
  registry.noteSeen([{ device: 'a', seenMs: 50, version: null }])
  registry.noteSeen([
    { device: 'a', seenMs: 70, version: '2' },
    { device: 'a', seenMs: 60, version: null },
    { device: 'gone', seenMs: 60, version: null },
  ])
  expect(registry.device('a')).toMatchObject({ firstSeenMs: 50, lastSeenMs: 70, version: '2' })
})

test("the file is its owner's alone", () => {
  const path = newPath()
  open(path)
  expect(statSync(path).mode & 0o777).toBe(0o600)
})

describe('a file that is no registry is refused', () => {
  test.each([
    ['of a newer millrace', (path: string) => new DatabaseSync(path).exec('PRAGMA user_version = 99')],
    ["can't be opened", (path: string) => new DatabaseSync(path).exec('CREATE TABLE devices (x)')],
  ])('%s', (message, spoil) => {
    const path = newPath()
    spoil(path)
    expect(() => open(path)).toThrow(message)
  })
})
