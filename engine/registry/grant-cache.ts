/** What a gateway was granted lately, so that who comes back need not be asked about. Owner: the gateway's thread. */
import type { Credentials, Grant } from './credentials.ts'
import { Remembered } from './remembered.ts'

const COUNT_MAX = 50_000
/** After the last connection that used it. */
const LIFETIME_MS = 600_000

export class GrantCache {
  #grants = new Remembered<Grant>(COUNT_MAX, LIFETIME_MS)
  /** The keys of `#grants`, by device. */
  #keys = new Map<string, Set<string>>()

  keyOf({ username, password, certificate }: Credentials): string {
    return this.#grants.keyOf(JSON.stringify([username, certificate?.fingerprint ?? null]), password)
  }

  find(key: string, nowMs: number): Grant | null {
    const grant = this.#grants.find(key, nowMs)
    return grant === null || nowMs > (grant.validUntilMs ?? nowMs) ? null : grant
  }

  put(key: string, grant: Grant, nowMs: number): void {
    this.#grants.put(key, grant, nowMs)
    const keys = this.#keys.get(grant.device)
    if (keys === undefined) this.#keys.set(grant.device, new Set([key]))
    else keys.add(key)
  }

  /** A connection that uses it began (1) or ended (-1). */
  visit(key: string, change: 1 | -1, nowMs: number): void {
    this.#grants.visit(key, change, nowMs)
  }

  forgetDevice(device: string): void {
    for (const key of this.#keys.get(device) ?? []) this.#grants.forget(key)
    this.#keys.delete(device)
  }

  forgetWhere(isOver: (grant: Grant) => boolean): void {
    this.#grants.forgetWhere(isOver)
  }

  /** Now and then. */
  sweep(nowMs: number): void {
    this.#grants.sweep(nowMs)
    for (const [device, keys] of this.#keys) {
      for (const key of keys) if (!this.#grants.has(key)) keys.delete(key)
      if (keys.size === 0) this.#keys.delete(device)
    }
  }
}
