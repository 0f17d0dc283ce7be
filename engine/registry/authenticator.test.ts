/** Who is who, against a real registry and real hashes; that guesses learn nothing from what they cost. */
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DEFAULT_CONFIG } from '../config.ts'
import { temporaryDirectory } from '../engine-process.ts'
import { Authenticator } from './authenticator.ts'
import type { Credentials, Verdict } from './credentials.ts'
import { makeToken, tokenDigest } from './device-token.ts'
import { hashPassword } from './password-hash.ts'
import { PasswordPool } from './password-pool.ts'
import { type NewDevice, Registry } from './registry.ts'

const SECRET = 'correct horse'
const DIGEST = hashPassword(Buffer.from(SECRET))

let registry: Registry
let pool: PasswordPool
let authenticator: Authenticator
let nowMs: number
let remove: () => void

beforeEach(() => {
  const directory = temporaryDirectory()
  registry = new Registry(join(directory.path, 'registry.db'), { waitMs: 1000, isDurable: false })
  remove = directory.remove
  pool = new PasswordPool(1)
  nowMs = 1_700_000_000_000
  const { roles } = DEFAULT_CONFIG.access
  authenticator = new Authenticator({ registry, passwords: pool, jwt: null, roles, nowMs: () => nowMs })
})

afterEach(async () => {
  await pool.close()
  registry.close()
  remove()
})

function register(name: string, fields: Partial<NewDevice> = {}): void {
  const standard = {
    role: 'device',
    groups: [],
    isEnabled: true,
    version: null,
    metadata: {},
    credentials: [],
  }
  registry.add([{ ...standard, name, ...fields }], 1)
}

function ask(fields: Partial<Credentials>): Promise<Verdict> {
  return authenticator.verdict({
    username: null,
    password: null,
    certificate: null,
    address: '10.0.0.1',
    ...fields,
  })
}

async function outcome(fields: Partial<Credentials>): Promise<string> {
  const verdict = await ask(fields)
  return verdict.isGranted ? verdict.grant.device : verdict.reason
}

function byPassword(username: string, password = SECRET): Promise<string> {
  return outcome({ username, password: Buffer.from(password) })
}

describe('passwords', () => {
  test('the right one once hashed is remembered, a wrong one never, and an unknown device costs the same', async () => {
    register('a', { credentials: [{ kind: 'password', digest: DIGEST }] })
    register('b')
    const hashes = async (username: string, password?: string): Promise<[string, number]> => {
      const before = authenticator.passwordsHashed
      return [await byPassword(username, password), authenticator.passwordsHashed - before]
    }
    expect(await hashes('a')).toEqual(['a', 1])
    expect(await hashes('a')).toEqual(['a', 0])
    expect(await hashes('a', 'wrong')).toEqual(['wrong-password', 1])
    expect(await hashes('a', 'wrong')).toEqual(['wrong-password', 1])
    expect(await hashes('nobody')).toEqual(['unknown-device', 1])
    expect(await hashes('nobody')).toEqual(['unknown-device', 1])
    expect(await hashes('b')).toEqual(['no-password', 1])
    expect(authenticator.passwordsRemembered).toBe(1)
  })

  test('many that ask for the same wait for one hash', async () => {
    register('a', { credentials: [{ kind: 'password', digest: DIGEST }] })
    const all = await Promise.all(Array.from({ length: 20 }, () => byPassword('a')))
    expect(new Set(all)).toEqual(new Set(['a']))
    expect(authenticator.passwordsHashed).toBe(1)
  })

  test('it is forgotten an hour after the last connection, not before', async () => {
    register('a', { credentials: [{ kind: 'password', digest: DIGEST }] })
    const verdict = await ask({ username: 'a', password: Buffer.from(SECRET) })
    if (!verdict.isGranted) throw new Error(verdict.reason)
    const { credential } = verdict.grant
    const visit = (change: 1 | -1) =>
      authenticator.visited({ device: 'a', credential, change, atMs: nowMs, version: null })
    visit(1)
    nowMs += 24 * 3_600_000
    authenticator.sweep()
    visit(-1)
    nowMs += 3_599_000
    expect(await byPassword('a')).toBe('a')
    expect(authenticator.passwordsHashed).toBe(1)
    nowMs += 3_601_000
    expect(await byPassword('a')).toBe('a')
    expect(authenticator.passwordsHashed).toBe(2)
  })

  test('another password takes effect though the old one is remembered, and while it is being verified', async () => {
    register('a', { credentials: [{ kind: 'password', digest: DIGEST }] })
    expect(await byPassword('a')).toBe('a')
    const change = (password: string) =>
      registry.change(
        'a',
        { credentials: [{ kind: 'password', digest: hashPassword(Buffer.from(password)) }] },
        2,
      )
    change('second')
    expect(await byPassword('a')).toBe('wrong-password')
    const inFlight = byPassword('a', 'second')
    change('third')
    expect(await inFlight).toBe('wrong-password')
    expect(await byPassword('a', 'third')).toBe('a')
  })

  test('a flood of guesses from one address leaves room for others', async () => {
    register('a', { credentials: [{ kind: 'password', digest: DIGEST }] })
    const guesses = Array.from({ length: 200 }, (_, i) => byPassword('a', `guess ${i}`))
    const other = outcome({ username: 'a', password: Buffer.from(SECRET), address: '10.0.0.2' })
    const outcomes = await Promise.all(guesses)
    expect(outcomes.filter((reason) => reason === 'authentication-busy')).toHaveLength(175)
    expect(await other).toBe('a')
  })
})

describe('tokens and certificates', () => {
  test("a token is its device's", async () => {
    const token = makeToken()
    register('a', { credentials: [{ kind: 'token', digest: tokenDigest(token) }] })
    const password = Buffer.from(token)
    for (const username of [null, '', 'a']) expect(await outcome({ username, password })).toBe('a')
    expect(await outcome({ username: 'b', password })).toBe('other-device')
    expect(await outcome({ username: 'a', password: Buffer.from(makeToken()) })).toBe('unknown-token')
    expect(authenticator.passwordsHashed).toBe(0)
  })

  test('a certificate that is registered, or that names a device', async () => {
    const fingerprint = 'ab'.repeat(32)
    register('a', { credentials: [{ kind: 'certificate', digest: fingerprint }] })
    register('b')
    const certificate = (print: string, ...names: string[]) => ({ fingerprint: print, names })
    expect(await outcome({ certificate: certificate(fingerprint, 'b') })).toBe('a')
    expect(await outcome({ certificate: certificate('cd'.repeat(32), 'x', 'b') })).toBe('b')
    expect(await outcome({ certificate: certificate(fingerprint), username: 'b' })).toBe('other-device')
    expect(await outcome({ certificate: certificate('cd'.repeat(32), 'x') })).toBe('unknown-certificate')
  })

  test('a certificate of nobody leaves a password to be tried', async () => {
    register('a', { credentials: [{ kind: 'password', digest: DIGEST }] })
    const certificate = { fingerprint: 'cd'.repeat(32), names: ['x'] }
    expect(await outcome({ certificate, username: 'a', password: Buffer.from(SECRET) })).toBe('a')
  })
})

describe('who is known but not let in', () => {
  test.each([
    ['disabled', { isEnabled: false }],
    ['unknown-role', { role: 'pilot' }],
  ])('%s', async (reason, fields) => {
    const token = makeToken()
    register('a', { ...fields, credentials: [{ kind: 'token', digest: tokenDigest(token) }] })
    expect(await outcome({ password: Buffer.from(token) })).toBe(reason)
  })

  test('a user name alone is no proof', async () => {
    register('a')
    expect(await outcome({ username: 'a' })).toBe('no-password')
  })
})
