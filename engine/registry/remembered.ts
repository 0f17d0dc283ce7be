/**
 * What was verified and need not be again for a while: an entry lasts as long as a connection uses it, and some time after. That
 * is what makes a fleet's reconnect cheap. Bounded: of entries that no connection uses the one that was longest unused goes
 * first. Safe, because an entry is found only with the secret itself: keys are keyed hashes (HMAC-SHA-256) under a key that is made
 * at the start and never leaves the memory of the process, so nothing on the disk is easier to guess than before.
 */
import { createHmac, randomBytes } from 'node:crypto'

interface Entry<T> {
  value: T
  /** Connections that use it. */
  users: number
  /** Counts once there are none. */
  untilMs: number
}

export class Remembered<T> {
  #key = randomBytes(32)
  /** Those that were used last come last. */
  #entries = new Map<string, Entry<T>>()
  #countMax: number
  #lifetimeMs: number

  constructor(countMax: number, lifetimeMs: number) {
    this.#countMax = countMax
    this.#lifetimeMs = lifetimeMs
  }

  get count(): number {
    return this.#entries.size
  }

  /** Under what a secret is remembered; `about` says whose it is, and holds no NUL that a part could be confused by. */
  keyOf(about: string, secret: Uint8Array | null): string {
    const hmac = createHmac('sha256', this.#key).update(`${about}\0`)
    if (secret !== null) hmac.update(secret)
    return hmac.digest('base64')
  }

  has(key: string): boolean {
    return this.#entries.has(key)
  }

  find(key: string, nowMs: number): T | null {
    const entry = this.#entries.get(key)
    if (entry === undefined) return null
    this.#entries.delete(key)
    if (entry.users === 0 && nowMs > entry.untilMs) return null
    entry.untilMs = nowMs + this.#lifetimeMs
    this.#entries.set(key, entry)
    return entry.value
  }

  put(key: string, value: T, nowMs: number): void {
    const users = this.#entries.get(key)?.users ?? 0
    this.#entries.delete(key)
    this.#entries.set(key, { value, users, untilMs: nowMs + this.#lifetimeMs })
    if (this.#entries.size > this.#countMax) this.#evict()
  }

  /** A connection that uses it began (1) or ended (-1). */
  visit(key: string, change: 1 | -1, nowMs: number): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    entry.users = Math.max(0, entry.users + change)
    entry.untilMs = nowMs + this.#lifetimeMs
  }

  forget(key: string): void {
    this.#entries.delete(key)
  }

  forgetWhere(isOver: (value: T) => boolean): void {
    for (const [key, { value }] of this.#entries) if (isOver(value)) this.#entries.delete(key)
  }

  /** Now and then: lets go of what is over. */
  sweep(nowMs: number): void {
    for (const [key, { users, untilMs }] of this.#entries) {
      if (users === 0 && nowMs > untilMs) this.#entries.delete(key)
    }
  }

  #evict(): void {
    let oldest: string | null = null
    for (const [key, { users }] of this.#entries) {
      oldest ??= key
      if (users > 0) continue
      this.#entries.delete(key)
      return
    }
    if (oldest !== null) this.#entries.delete(oldest)
  }
}
