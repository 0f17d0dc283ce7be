/**
 * What is wrong now, by where it came from and its code. A fault is passed on when it is new, when its words change,
 * though not more often than once in 10 s, and when it is over. Owned by the main thread.
 */

export interface Fault {
  code: string
  message: string
  isOver: boolean
}

const CHANGE_INTERVAL_MS = 10_000

interface Entry {
  fault: Fault
  saidMessage: string
  saidMs: number
}

export class FaultLog {
  #active = new Map<string, Entry>()

  /** Takes what a part of the engine reports; returns what is to be said now, or null. */
  take(source: string, fault: Fault, nowMs: number): Fault | null {
    const key = `${source} ${fault.code}`
    const entry = this.#active.get(key)
    if (fault.isOver) return this.#active.delete(key) ? fault : null
    if (entry === undefined) {
      this.#active.set(key, { fault, saidMessage: fault.message, saidMs: nowMs })
      return fault
    }
    entry.fault = fault
    return sayChange(entry, nowMs)
  }

  /** Changes that had to wait. Call it now and then. */
  due(nowMs: number): Fault[] {
    return [...this.#active.values()].flatMap((entry) => sayChange(entry, nowMs) ?? [])
  }

  /** What is said of the first of these codes that is active; null when none is. */
  messageOf(codes: readonly string[]): string | null {
    for (const { fault } of this.#active.values()) if (codes.includes(fault.code)) return fault.message
    return null
  }
}

function sayChange(entry: Entry, nowMs: number): Fault | null {
  if (entry.fault.message === entry.saidMessage || nowMs - entry.saidMs < CHANGE_INTERVAL_MS) return null
  entry.saidMessage = entry.fault.message
  entry.saidMs = nowMs
  return entry.fault
}
