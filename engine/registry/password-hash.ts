/**
 * Hashes of passwords: scrypt (RFC 7914), written with its parameters in the PHC string format,
 * `$scrypt$ln=14,r=8,p=1$SALT$HASH`. Each call takes tens of milliseconds and 16 MiB: never on a thread that serves anybody.
 */
import { randomBytes, scryptSync, timingSafeEqual } from 'node:crypto'
import { isJwt, isToken } from './device-token.ts'

/** 2^14 blocks of 1 KiB: 16 MiB and about 50 ms. */
const DEFAULT = { logCost: 14, blockSize: 8, parallelism: 1 }
const SALT_SIZE_BYTES = 16
const HASH_SIZE_BYTES = 32
const PASSWORD_SIZE_BYTES_MAX = 1024
/** What a hash that came from elsewhere may ask for. */
const MEMORY_SIZE_BYTES_MAX = 256 << 20
const PHC = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/

type Cost = typeof DEFAULT

export function hashPassword(password: Uint8Array): string {
  const salt = randomBytes(SALT_SIZE_BYTES)
  return written(salt, derive(password, salt, DEFAULT, HASH_SIZE_BYTES))
}

/** Takes the same time whatever the password is. False for a hash that is none. */
export function verifyPassword(password: Uint8Array, phc: string): boolean {
  const parts = PHC.exec(phc)
  if (parts === null) return false
  const cost = { logCost: Number(parts[1]), blockSize: Number(parts[2]), parallelism: Number(parts[3]) }
  if (!isAffordable(cost)) return false
  const hash = Buffer.from(parts[5], 'base64')
  return timingSafeEqual(derive(password, Buffer.from(parts[4], 'base64'), cost, hash.length), hash)
}

/** A hash that no password has: verifying against it costs what it costs for a device that there is. */
export function decoyHash(): string {
  return written(randomBytes(SALT_SIZE_BYTES), randomBytes(HASH_SIZE_BYTES))
}

/** Why a password can't be one; null when it can. */
export function passwordFault(password: Uint8Array): string | null {
  if (password.length < 1 || password.length > PASSWORD_SIZE_BYTES_MAX)
    return `must have 1 to ${PASSWORD_SIZE_BYTES_MAX} bytes`
  const text = Buffer.from(password).toString('latin1')
  return isToken(text) || isJwt(text) ? 'must not look like a token' : null
}

function isAffordable({ logCost, blockSize, parallelism }: Cost): boolean {
  const sizeBytes = 128 * 2 ** logCost * blockSize
  return (
    logCost >= 1 && blockSize >= 1 && parallelism >= 1 && sizeBytes * parallelism <= MEMORY_SIZE_BYTES_MAX
  )
}

function derive(password: Uint8Array, salt: Uint8Array, cost: Cost, sizeBytes: number): Buffer {
  const options = {
    N: 2 ** cost.logCost,
    r: cost.blockSize,
    p: cost.parallelism,
    maxmem: 2 * MEMORY_SIZE_BYTES_MAX,
  }
  return scryptSync(password, salt, sizeBytes, options)
}

function written(salt: Buffer, hash: Buffer): string {
  const { logCost, blockSize, parallelism } = DEFAULT
  return `$scrypt$ln=${logCost},r=${blockSize},p=${parallelism}$${unpadded(salt)}$${unpadded(hash)}`
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('=', '')
}
