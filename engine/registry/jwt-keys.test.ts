/** Published tokens, and what must not get in. */
import { createHmac, generateKeyPairSync, sign } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { JwtConfig } from '../config.ts'
import { temporaryDirectory } from '../engine-process.ts'
import { JwtKeys } from './jwt-keys.ts'

const cleanups: (() => void)[] = []

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
})

const NOW_MS = 1_800_000_000_000
const NOW_S = NOW_MS / 1000

function newFile(keys: unknown): string {
  const directory = temporaryDirectory()
  cleanups.push(directory.remove)
  const path = join(directory.path, 'keys.json')
  writeFileSync(path, typeof keys === 'string' ? keys : JSON.stringify({ keys }))
  return path
}

async function load(keys: unknown, config: Partial<JwtConfig> = {}): Promise<JwtKeys> {
  const loaded = new JwtKeys({ keys: newFile(keys), issuer: null, audience: null, claim: 'sub', ...config })
  await loaded.refresh()
  return loaded
}

/** RFC 7515, appendix A.1: HS256, claims iss, exp 1300819380 and no sub. */
const RFC_7515 = {
  key: {
    kty: 'oct',
    alg: 'HS256',
    k: 'AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow',
  },
  token:
    'eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk',
}

/** RFC 7515, appendix A.3: ES256, the same claims. */
const RFC_7515_ES256 = {
  key: {
    kty: 'EC',
    crv: 'P-256',
    alg: 'ES256',
    x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
    y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
  },
  token:
    'eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q',
}

describe('published tokens', () => {
  test.each([
    ['HS256', RFC_7515],
    ['ES256', RFC_7515_ES256],
  ])('RFC 7515, %s', async (_, { key, token }) => {
    const keys = await load([key], { claim: 'iss' })
    const before = 1_300_819_380_000 - 1000
    expect(await keys.verify(token, before)).toEqual({
      isValid: true,
      device: 'joe',
      key: keys.ids[0],
      validUntilMs: 1_300_819_385_000,
    })
    expect(await keys.verify(token, NOW_MS)).toEqual({ isValid: false, reason: 'token-expired' })
    const [head, body, signature] = token.split('.')
    const flipped = `${head}.${body}.${signature[0] === 'A' ? 'B' : 'A'}${signature.slice(1)}`
    expect(await keys.verify(flipped, before)).toEqual({ isValid: false, reason: 'token-invalid' })
  })
})

const SHARED = Buffer.alloc(32, 7)
const PAIRS = {
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: generateKeyPairSync('ed25519'),
}
type Algorithm = keyof typeof PAIRS | 'HS256'

function jwk(alg: Algorithm, kid?: string): Record<string, unknown> {
  const key =
    alg === 'HS256'
      ? { kty: 'oct', k: SHARED.toString('base64url') }
      : PAIRS[alg].publicKey.export({ format: 'jwk' })
  return { ...key, alg, ...(kid === undefined ? {} : { kid }) }
}

/** Signed by node:crypto, not by the library under test. */
function token(alg: Algorithm, claims: object, header: object = {}): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${encode({ alg, ...header })}.${encode(claims)}`
  const bytes = Buffer.from(signed)
  if (alg === 'HS256') return `${signed}.${createHmac('sha256', SHARED).update(bytes).digest('base64url')}`
  const key = { key: PAIRS[alg].privateKey, dsaEncoding: 'ieee-p1363' as const }
  return `${signed}.${sign(alg === 'EdDSA' ? null : 'sha256', bytes, key).toString('base64url')}`
}

const GOOD = { sub: 'pump-7', exp: NOW_S + 60 }

describe('every algorithm', () => {
  test.each(['RS256', 'ES256', 'EdDSA', 'HS256'] as const)('%s', async (alg) => {
    const keys = await load([jwk(alg)])
    expect(await keys.verify(token(alg, GOOD), NOW_MS)).toMatchObject({ isValid: true, device: 'pump-7' })
    const other = await load([{ ...jwk(alg), kid: 'other' }])
    expect(await other.verify(token(alg, GOOD, { kid: 'mine' }), NOW_MS)).toMatchObject({ isValid: false })
  })

  test('of several keys the one that fits is found, with a kid and without', async () => {
    const keys = await load([jwk('RS256', 'a'), jwk('ES256', 'b'), jwk('HS256', 'c'), jwk('EdDSA')])
    for (const alg of ['RS256', 'ES256', 'HS256', 'EdDSA'] as const)
      expect(await keys.verify(token(alg, GOOD), NOW_MS)).toMatchObject({ isValid: true })
    expect(await keys.verify(token('ES256', GOOD, { kid: 'b' }), NOW_MS)).toMatchObject({ isValid: true })
    expect(await keys.verify(token('ES256', GOOD, { kid: 'a' }), NOW_MS)).toMatchObject({ isValid: false })
  })
})

describe("the algorithm is the key's, never the token's", () => {
  test('a public RSA key is no shared secret', async () => {
    const keys = await load([jwk('RS256')])
    const pem = PAIRS.RS256.publicKey.export({ format: 'pem', type: 'spki' })
    const [head, body] = token('HS256', GOOD).split('.')
    for (const secret of [pem, JSON.stringify(jwk('RS256'))]) {
      const forged = createHmac('sha256', secret).update(`${head}.${body}`).digest('base64url')
      expect(await keys.verify(`${head}.${body}.${forged}`, NOW_MS)).toMatchObject({ isValid: false })
    }
  })

  test.each(['none', 'None', 'HS384', 'RS512', 'PS256', '', 1])('alg %j', async (alg) => {
    const keys = await load([jwk('HS256'), jwk('RS256')])
    const good = token('HS256', GOOD, { alg })
    expect(await keys.verify(good, NOW_MS)).toMatchObject({ isValid: false })
    expect(await keys.verify(`${good.split('.').slice(0, 2).join('.')}.`, NOW_MS)).toMatchObject({
      isValid: false,
    })
  })

  test('a key that the token brings along is not used', async () => {
    const keys = await load([jwk('HS256')])
    const brought = token('ES256', GOOD, { jwk: jwk('ES256') })
    expect(await keys.verify(brought, NOW_MS)).toMatchObject({ isValid: false })
  })
})

describe('claims', () => {
  const CONFIG = { issuer: 'factory', audience: 'millrace' }
  const FULL = { ...GOOD, iss: 'factory', aud: ['x', 'millrace'] }

  test.each([
    ['all as wanted', FULL, null],
    ['no exp', { ...FULL, exp: undefined }, 'token-invalid'],
    ['expired', { ...FULL, exp: NOW_S - 6 }, 'token-expired'],
    ['expired within the tolerance of clocks', { ...FULL, exp: NOW_S - 4 }, null],
    ['not yet', { ...FULL, nbf: NOW_S + 60 }, 'token-invalid'],
    ['another issuer', { ...FULL, iss: 'elsewhere' }, 'token-invalid'],
    ['no issuer', { ...FULL, iss: undefined }, 'token-invalid'],
    ['another audience', { ...FULL, aud: 'x' }, 'token-invalid'],
    ['no device', { ...FULL, sub: undefined }, 'token-invalid'],
    ['a device that is no text', { ...FULL, sub: 7 }, 'token-invalid'],
    ['exp that is no number', { ...FULL, exp: 'x' }, 'token-invalid'],
  ])('%s', async (_, claims, reason) => {
    const keys = await load([jwk('HS256')], CONFIG)
    const verdict = await keys.verify(token('HS256', claims), NOW_MS)
    expect('reason' in verdict ? verdict.reason : null).toBe(reason)
  })

  test.each(['', 'a.b.c', 'eyJ.eyJ.x', `${'eyJ'.repeat(1000)}..`])('no token at all: %j', async (text) => {
    expect(await (await load([jwk('HS256')])).verify(text, NOW_MS)).toMatchObject({ isValid: false })
  })
})

describe("a file that can't be used is refused", () => {
  test.each([
    ['nonsense', /it is no JSON/],
    ['{}', /it has no "keys"/],
    [[{ ...jwk('ES256'), alg: undefined }], /keys\[0\]\.alg is not one of RS256, ES256, EdDSA, HS256/],
    [[jwk('ES256'), { ...jwk('RS256'), alg: 'RS512' }], /keys\[1\]\.alg is not one of/],
    [[{ ...jwk('RS256'), alg: 'HS256' }], /keys\[0\] is no key for HS256/],
    [[{ ...jwk('HS256'), alg: 'RS256' }], /keys\[0\] is no key for RS256/],
    [[{ ...jwk('HS256'), k: 'c2hvcnQ' }], /keys\[0\] has fewer than 32 bytes/],
    [[{ ...jwk('RS256'), use: 'enc' }], /keys\[0\]\.use is not "sig"/],
    [[{ kty: 'EC', alg: 'ES256', crv: 'P-256', x: 'AA', y: 'AA' }], /keys\[0\] is no key for ES256/],
    [
      [
        {
          ...generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' }),
          alg: 'RS256',
        },
      ],
      /keys\[0\] has fewer than 2048 bits/,
    ],
  ])('%#', async (keys, pattern) => {
    await expect(load(keys)).rejects.toThrow(pattern)
  })

  test('and what was there before goes on', async () => {
    const path = newFile([jwk('HS256')])
    const keys = new JwtKeys({ keys: path, issuer: null, audience: null, claim: 'sub' })
    expect(await keys.refresh()).toBe(true)
    expect(await keys.refresh()).toBe(false)
    writeFileSync(path, 'half a fi')
    await expect(keys.refresh()).rejects.toThrow(/can't be used/)
    expect(await keys.verify(token('HS256', GOOD), NOW_MS)).toMatchObject({ isValid: true })
    writeFileSync(path, JSON.stringify({ keys: [jwk('ES256')] }))
    expect(await keys.refresh()).toBe(true)
    expect(await keys.verify(token('HS256', GOOD), NOW_MS)).toMatchObject({ isValid: false })
    expect(await keys.verify(token('ES256', GOOD), NOW_MS)).toMatchObject({ isValid: true })
  })
})
