/** Several states as one, saved and loaded in one order. */
import type { Stateful } from '../../codecs/state.ts'

export function allOf(parts: readonly Stateful[]): Stateful {
  return {
    save(out) {
      for (const part of parts) part.save(out)
    },
    load(from) {
      for (const part of parts) part.load(from)
    },
  }
}
