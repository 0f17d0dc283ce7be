/**
 * What clients were refused, for people to read: the same thing is told once in an interval, with how often it happened, and of
 * a flood only the first ones with a name. Owner: one thread.
 */

import type { Refusal } from './credentials.ts'
import { isJwt, isToken } from './device-token.ts'

const TOLD_MAX = 20
const KNOWN_MAX = 1000
const TEXT_LENGTH_MAX = 128

interface Entry {
  refusal: Refusal
  toldMs: number
}

export class RefusalLog {
  #intervalMs: number
  #entries = new Map<string, Entry>()
  /** Those that have no entry of their own, by what and why. */
  #others = new Map<string, Refusal>()

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs
  }

  note(refusal: Refusal): void {
    const safe = shown(refusal)
    const { what, reason, device, client, count } = safe
    const key = [what, reason, device, device === '' ? client : ''].join('\0')
    const entry = this.#entries.get(key)
    if (entry !== undefined) entry.refusal = { ...safe, count: entry.refusal.count + count }
    else if (this.#entries.size < KNOWN_MAX) {
      this.#entries.set(key, { refusal: safe, toldMs: Number.NEGATIVE_INFINITY })
    } else this.#noteOther(safe)
  }

  /** What is to be told now. */
  due(nowMs: number): Refusal[] {
    const due: Refusal[] = []
    for (const [key, entry] of this.#entries) {
      const isDue = nowMs - entry.toldMs >= this.#intervalMs
      if (entry.refusal.count === 0) {
        if (isDue) this.#entries.delete(key)
      } else if (isDue && due.length < TOLD_MAX) {
        due.push(entry.refusal)
        entry.toldMs = nowMs
        entry.refusal = { ...entry.refusal, count: 0 }
      }
    }
    due.push(...this.#others.values())
    this.#others.clear()
    return due
  }

  #noteOther({ what, reason, count }: Refusal): void {
    const key = `${what}\0${reason}`
    const before = this.#others.get(key)?.count ?? 0
    this.#others.set(key, {
      what,
      reason,
      device: '',
      client: '',
      address: '',
      topic: '',
      count: before + count,
    })
  }
}

/** Clients choose these texts: bounded, and without what looks like a secret that stands in the wrong place. */
function shown(refusal: Refusal): Refusal {
  const { device, client, topic } = refusal
  return { ...refusal, device: safeText(device), client: safeText(client), topic: safeText(topic) }
}

function safeText(text: string): string {
  if (text.split('/').some((part) => isToken(part) || isJwt(part))) return '(a token)'
  return text.length > TEXT_LENGTH_MAX ? `${text.slice(0, TEXT_LENGTH_MAX)}...` : text
}
