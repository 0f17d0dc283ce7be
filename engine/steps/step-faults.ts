/**
 * What a step threw, as the reason of a dead letter. Bounded: the text's size, and how many different texts there are in a
 * batch, because `dead_letters.reason` is a dictionary. Owned by the shard's thread.
 */
import { inspect } from 'node:util'

const REASON_SIZE_MAX = 200
const REASON_COUNT_MAX = 64

export class StepFaults {
  #reasons = new Set<string>()

  /** `where` names the step. */
  reason(where: string, thrown: unknown): string {
    const text = `${where}: ${firstLine(thrown)}`
    const reason = text.length > REASON_SIZE_MAX ? `${text.slice(0, REASON_SIZE_MAX - 3)}...` : text
    if (this.#reasons.has(reason)) return reason
    if (this.#reasons.size >= REASON_COUNT_MAX) return `${where}: one of many different errors`
    this.#reasons.add(reason)
    return reason
  }

  /** A batch ended: a replay begins here with an empty set, too. */
  clear(): void {
    if (this.#reasons.size > 0) this.#reasons.clear()
  }
}

/** Users may throw anything, also what throws when it is looked at. */
function firstLine(thrown: unknown): string {
  try {
    const text =
      thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : `threw ${inspect(thrown, { depth: 0 })}`
    return text.split('\n', 1)[0].replaceAll(/\p{Cc}|\p{Cs}/gu, ' ')
  } catch {
    return 'threw what cannot be shown'
  }
}
