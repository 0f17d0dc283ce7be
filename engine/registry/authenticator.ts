/**
 * Who a client is, by what it shows. Owner: the main thread. A certificate that a door has verified names the device; else the
 * password field holds a token, a JWT, or the password of the device that the user name names. Unknown devices cost what known
 * ones do, and are answered alike.
 */
import type { AccessConfig } from '../config.ts'
import type { Credentials, Grant, GrantedBy, RefusalReason, Verdict, Visit } from './credentials.ts'
import { isJwt, isToken, tokenDigest } from './device-token.ts'
import type { JwtKeys } from './jwt-keys.ts'
import { decoyHash } from './password-hash.ts'
import type { PasswordPool } from './password-pool.ts'
import type { Registry } from './registry.ts'
import { Remembered } from './remembered.ts'

const REMEMBERED_MAX = 200_000
/** After the last connection that used a password. */
const REMEMBERED_MS = 3_600_000

export interface AuthenticatorParts {
  registry: Registry
  passwords: PasswordPool
  /** Null without a key file. */
  jwt: JwtKeys | null
  roles: AccessConfig['roles']
  nowMs: () => number
}

export class Authenticator {
  #parts: AuthenticatorParts
  #decoy = decoyHash()
  /** Passwords that were verified, each with its stored hash: another password of the device is another entry. */
  #verified = new Remembered<true>(REMEMBERED_MAX, REMEMBERED_MS)
  /** The keys of `#verified` by credential. */
  #keys = new Map<number, string>()
  /** One hash for all that wait for the same. */
  #hashing = new Map<string, Promise<boolean>>()
  passwordsHashed = 0
  passwordsRemembered = 0

  constructor(parts: AuthenticatorParts) {
    this.#parts = parts
  }

  /** Rejects when the registry can't be read. */
  async verdict(credentials: Credentials): Promise<Verdict> {
    const { certificate, username, password } = credentials
    if (certificate !== null) {
      const verdict = this.#byCertificate(certificate, username)
      if (verdict !== null) return verdict
      if (password === null) return refused('unknown-certificate')
    }
    if (password === null) return refused('no-password')
    const secret = Buffer.from(password).toString('latin1')
    if (isToken(secret)) return this.#byToken(secret, username)
    if (this.#parts.jwt !== null && isJwt(secret)) return this.#byJwt(this.#parts.jwt, secret, username)
    return this.#byPassword(username ?? '', password, credentials.address)
  }

  /** Keeps what connections use. */
  visited({ credential, change }: Visit): void {
    const key = credential.kind === 'registered' ? this.#keys.get(credential.id) : undefined
    if (key !== undefined) this.#verified.visit(key, change, this.#parts.nowMs())
  }

  sweep(): void {
    const nowMs = this.#parts.nowMs()
    this.#verified.sweep(nowMs)
    if (this.#keys.size > 2 * this.#verified.count + 1000) {
      for (const [id, key] of this.#keys) if (!this.#verified.has(key)) this.#keys.delete(id)
    }
  }

  #byCertificate(
    certificate: { fingerprint: string; names: readonly string[] },
    username: string | null,
  ): Verdict | null {
    const { registry } = this.#parts
    const found = registry.findCredential('certificate', certificate.fingerprint)
    if (found !== null) return this.#grant(found.device, username, { kind: 'registered', id: found.id })
    const name = certificate.names.find((name) => registry.device(name) !== null)
    return name === undefined ? null : this.#grant(name, username, { kind: 'name' })
  }

  #byToken(token: string, username: string | null): Verdict {
    const found = this.#parts.registry.findCredential('token', tokenDigest(token))
    if (found === null) return refused('unknown-token')
    return this.#grant(found.device, username, { kind: 'registered', id: found.id })
  }

  async #byJwt(jwt: JwtKeys, token: string, username: string | null): Promise<Verdict> {
    const verdict = await jwt.verify(token, this.#parts.nowMs())
    if (!verdict.isValid) return refused(verdict.reason)
    const { device, key, validUntilMs } = verdict
    return this.#grant(device, username, { kind: 'jwt', key }, validUntilMs)
  }

  async #byPassword(name: string, password: Uint8Array, address: string): Promise<Verdict> {
    const { registry } = this.#parts
    const stored = registry.passwordOf(name)
    const answer = this.#verify(stored, password, address)
    if (answer === null) return refused('authentication-busy')
    const isRight = await answer
    if (stored === null) return refused(registry.device(name) === null ? 'unknown-device' : 'no-password')
    if (!isRight) return refused('wrong-password')
    // It may have been changed meanwhile.
    if (registry.passwordOf(name)?.id !== stored.id) return refused('wrong-password')
    return this.#grant(name, name, { kind: 'registered', id: stored.id })
  }

  /** Null when too many wait. */
  #verify(
    stored: { id: number; digest: string } | null,
    password: Uint8Array,
    address: string,
  ): Promise<boolean> | boolean | null {
    const { passwords, nowMs } = this.#parts
    const key = this.#verified.keyOf(stored?.digest ?? this.#decoy, password)
    if (this.#verified.find(key, nowMs()) !== null) {
      this.passwordsRemembered++
      return true
    }
    const same = this.#hashing.get(key)
    if (same !== undefined) return same
    const answer = passwords.verify(password, stored?.digest ?? this.#decoy, address)
    if (answer === null) return null
    this.passwordsHashed++
    const remembered = answer
      .then((isRight) => {
        if (!isRight || stored === null) return false
        this.#verified.put(key, true, nowMs())
        this.#keys.set(stored.id, key)
        return true
      })
      .finally(() => this.#hashing.delete(key))
    this.#hashing.set(key, remembered)
    return remembered
  }

  #grant(
    name: string,
    username: string | null,
    credential: GrantedBy,
    validUntilMs: number | null = null,
  ): Verdict {
    const rights = this.#parts.registry.rightsOf(name)
    if (rights === null) return refused('unknown-device')
    if (username !== null && username !== '' && username !== name) return refused('other-device')
    if (!rights.isEnabled) return refused('disabled')
    const { role, groups } = rights
    if (!Object.hasOwn(this.#parts.roles, role)) return refused('unknown-role')
    const grant: Grant = { device: name, role, groups, credential, validUntilMs }
    return { isGranted: true, grant }
  }
}

function refused(reason: RefusalReason): Verdict {
  return { isGranted: false, reason }
}
