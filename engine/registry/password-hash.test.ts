import { scryptSync } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { makeToken } from './device-token.ts'
import { decoyHash, hashPassword, passwordFault, verifyPassword } from './password-hash.ts'
import { PasswordPool } from './password-pool.ts'

const cleanups: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

/** The third vector of RFC 7914, section 12, written as a PHC string. */
const RFC_7914 = {
  password: Buffer.from('pleaseletmein'),
  hash: Buffer.from(
    '7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887',
    'hex',
  ),
}

function phc(cost: string, salt: string, hash: Buffer): string {
  const text = (bytes: Buffer) => bytes.toString('base64').replaceAll('=', '')
  return `$scrypt$${cost}$${text(Buffer.from(salt))}$${text(hash)}`
}

test('a published vector', () => {
  const stored = phc('ln=14,r=8,p=1', 'SodiumChloride', RFC_7914.hash)
  expect(verifyPassword(RFC_7914.password, stored)).toBe(true)
  expect(verifyPassword(Buffer.from('pleaseletmeIn'), stored)).toBe(false)
})

test('a hash verifies its password and no other; two of one password differ', () => {
  const password = Buffer.from('geheim\0é')
  const [one, two] = [hashPassword(password), hashPassword(password)]
  expect(one).not.toBe(two)
  expect(verifyPassword(password, one)).toBe(true)
  expect(verifyPassword(Buffer.from('geheim'), one)).toBe(false)
  expect(verifyPassword(password, decoyHash())).toBe(false)
})

test('parameters are those that stand with the hash', () => {
  const hash = scryptSync('x', 'saltsaltsaltsalt', 32, { N: 1024, r: 4, p: 2 })
  expect(verifyPassword(Buffer.from('x'), phc('ln=10,r=4,p=2', 'saltsaltsaltsalt', hash))).toBe(true)
  expect(verifyPassword(Buffer.from('x'), phc('ln=10,r=4,p=1', 'saltsaltsaltsalt', hash))).toBe(false)
})

test.each(['', 'x', '$scrypt$ln=99,r=8,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2g', '$2b$10$abc'])(
  'what is no hash, or asks for too much memory, verifies nothing: %j',
  (stored) => {
    expect(verifyPassword(Buffer.from('x'), stored)).toBe(false)
  },
)

describe('a password is neither empty, nor endless, nor a token', () => {
  test.each([
    ['', /1 to 1024 bytes/],
    ['x'.repeat(1025), /1 to 1024 bytes/],
    [makeToken(), /must not look like a token/],
    ['eyJhbGciOiJub25lIn0.e30.', /must not look like a token/],
  ])('%j', (password, fault) => {
    expect(passwordFault(Buffer.from(password))).toMatch(fault)
  })

  test('anything else is one', () => {
    expect(passwordFault(Buffer.from('x'))).toBeNull()
  })
})

describe('the pool', () => {
  test('verifies, and turns away what would wait too long: of one address first', async () => {
    const pool = new PasswordPool(1)
    cleanups.push(() => pool.close())
    const cheap = phc(
      'ln=1,r=1,p=1',
      'saltsaltsaltsalt',
      scryptSync('x', 'saltsaltsaltsalt', 32, { N: 2, r: 1, p: 1 }),
    )
    const password = Buffer.from('x')
    const ofOne = Array.from({ length: 100 }, () => pool.verify(password, cheap, '10.0.0.1'))
    expect(ofOne.filter(Boolean)).toHaveLength(25)
    const ofOthers = Array.from({ length: 100 }, (_, i) => pool.verify(password, cheap, `10.0.1.${i}`))
    expect(ofOthers.filter(Boolean)).toHaveLength(75)
    const answers = await Promise.all([...ofOne, ...ofOthers].filter((answer) => answer !== null))
    expect(new Set(answers)).toEqual(new Set([true]))
    expect(await pool.verify(Buffer.from('y'), cheap, '10.0.0.1')).toBe(false)
  })
})
