/**
 * Bearer tokens: 256 random bits, told once and kept as their SHA-256. That needs no salt and no slow hash: there is nothing to
 * guess.
 */
import { hash, randomBytes } from 'node:crypto'

/** Tells tokens from passwords, and lets scanners for leaked secrets find them. */
const PREFIX = 'mrt_'
const SIZE_BYTES = 32
const TOKEN = /^mrt_[\w-]{43}$/
const JWT = /^eyJ[\w-]+\.[\w-]+\.[\w-]*$/

export function makeToken(): string {
  return `${PREFIX}${randomBytes(SIZE_BYTES).toString('base64url')}`
}

export function isToken(text: string): boolean {
  return TOKEN.test(text)
}

/** Whether it has the form of a signed JSON Web Token (RFC 7519): its header begins `{"`. */
export function isJwt(text: string): boolean {
  return JWT.test(text)
}

export function tokenDigest(token: string): string {
  return hash('sha256', token, 'hex')
}
