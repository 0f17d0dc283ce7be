/**
 * The keys that JSON Web Tokens (RFC 7519) are verified with, from a JWKS file (RFC 7517). Which algorithm goes with a key is
 * what the file says: a token only chooses among keys. Owner: the main thread.
 */
import { hash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { type CryptoKey, errors, importJWK, type JWK, jwtVerify } from 'jose'
import type { JwtConfig } from '../config.ts'
import { EngineError } from '../engine-error.ts'
import type { RefusalReason } from './credentials.ts'

const ALGORITHMS = ['RS256', 'ES256', 'EdDSA', 'HS256']
const KEYS_MAX = 100
const FILE_SIZE_BYTES_MAX = 1 << 20
/** RFC 7518, section 3.2: a shared key is at least as long as the hash. */
const SHARED_KEY_SIZE_BYTES_MIN = 32
/** RFC 7518, section 3.3. */
const RSA_BITS_MIN = 2048
const CLOCK_TOLERANCE_S = 5

interface VerifyingKey {
  /** Changes with the key's bytes. */
  id: string
  kid: string | undefined
  algorithm: string
  key: CryptoKey | Uint8Array
}

export type TokenVerdict =
  | { isValid: true; device: string; key: string; validUntilMs: number }
  | { isValid: false; reason: RefusalReason }

export class JwtKeys {
  #config: JwtConfig
  #keys: VerifyingKey[] = []
  #seen = ''

  /** `config.keys` is the file's path. */
  constructor(config: JwtConfig) {
    this.#config = config
  }

  /** What every valid token's key is one of. */
  get ids(): string[] {
    return this.#keys.map(({ id }) => id)
  }

  /** Reads the file when it is new, or changed: true. What it had before stays when it can't be used. Throws EngineError. */
  async refresh(): Promise<boolean> {
    const path = this.#config.keys
    try {
      const { mtimeMs, size, ino } = statSync(path)
      const seen = `${mtimeMs} ${size} ${ino}`
      if (seen === this.#seen) return false
      this.#seen = seen
      if (size > FILE_SIZE_BYTES_MAX) throw new Error(`it has more than ${FILE_SIZE_BYTES_MAX} bytes`)
      this.#keys = await keysOf(readFileSync(path, 'utf8'))
      return true
    } catch (error) {
      this.#seen = ''
      const { code, message } = error as NodeJS.ErrnoException
      throw new EngineError(
        'JWT_KEYS',
        `the keys ${path} can't be used (${code?.startsWith('E') ? code : message})`,
        error,
      )
    }
  }

  /** The device that a token names, as of `nowMs`. */
  async verify(token: string, nowMs: number): Promise<TokenVerdict> {
    let reason: RefusalReason = 'token-invalid'
    const { issuer, audience, claim } = this.#config
    for (const { id, algorithm, key } of this.#candidates(token)) {
      try {
        const { payload } = await jwtVerify(token, key, {
          algorithms: [algorithm],
          requiredClaims: ['exp'],
          currentDate: new Date(nowMs),
          clockTolerance: CLOCK_TOLERANCE_S,
          ...(issuer === null ? {} : { issuer }),
          ...(audience === null ? {} : { audience }),
        })
        const device = payload[claim]
        if (typeof device !== 'string' || payload.exp === undefined) return { isValid: false, reason }
        return { isValid: true, device, key: id, validUntilMs: (payload.exp + CLOCK_TOLERANCE_S) * 1000 }
      } catch (error) {
        if (!(error instanceof errors.JOSEError)) throw error
        if (error instanceof errors.JWTExpired) reason = 'token-expired'
      }
    }
    return { isValid: false, reason }
  }

  /** Those that the token's header can mean. */
  #candidates(token: string): VerifyingKey[] {
    const header = headerOf(token)
    return this.#keys.filter(
      ({ kid, algorithm }) => algorithm === header?.alg && (header.kid === undefined || header.kid === kid),
    )
  }
}

function headerOf(token: string): { alg?: unknown; kid?: unknown } | null {
  try {
    return JSON.parse(Buffer.from(token.split('.', 1)[0], 'base64url').toString('utf8'))
  } catch {
    return null
  }
}

async function keysOf(text: string): Promise<VerifyingKey[]> {
  let keys: unknown
  try {
    keys = JSON.parse(text)?.keys
  } catch {
    throw new Error('it is no JSON')
  }
  if (!Array.isArray(keys) || keys.length > KEYS_MAX)
    throw new Error(`it has no "keys", or more than ${KEYS_MAX}`)
  return Promise.all(keys.map((jwk, i) => keyOf(jwk, `keys[${i}]`)))
}

async function keyOf(given: unknown, place: string): Promise<VerifyingKey> {
  const jwk = (typeof given === 'object' && given !== null ? given : {}) as JWK
  const { alg: algorithm = '', kid, kty, use } = jwk
  if (!ALGORITHMS.includes(algorithm)) throw new Error(`${place}.alg is not one of ${ALGORITHMS.join(', ')}`)
  if (use !== undefined && use !== 'sig') throw new Error(`${place}.use is not "sig"`)
  let key: CryptoKey | Uint8Array
  try {
    // Of a private key only the public half verifies.
    const { d: _d, p: _p, q: _q, dp: _dp, dq: _dq, qi: _qi, key_ops: _ops, ...half } = jwk
    key = await importJWK(half as JWK, algorithm)
  } catch {
    throw new Error(`${place} is no key for ${algorithm}`)
  }
  const isShared = key instanceof Uint8Array
  if (isShared !== (algorithm === 'HS256'))
    throw new Error(`${place} is no key for ${algorithm}: its kty is ${kty}`)
  if (key instanceof Uint8Array && key.length < SHARED_KEY_SIZE_BYTES_MIN)
    throw new Error(`${place} has fewer than ${SHARED_KEY_SIZE_BYTES_MIN} bytes`)
  const bits = isShared
    ? undefined
    : ((key as CryptoKey).algorithm as { modulusLength?: number }).modulusLength
  if (bits !== undefined && bits < RSA_BITS_MIN)
    throw new Error(`${place} has fewer than ${RSA_BITS_MIN} bits`)
  return { id: hash('sha256', JSON.stringify(jwk), 'hex').slice(0, 16), kid, algorithm, key }
}
