/** For tests: what an operator saves, as one piece. */
import { type Stateful, StateWriter } from '../../codecs/state.ts'

export function imageOf(state: Stateful): Uint8Array {
  const out = new StateWriter()
  state.save(out)
  const image = new Uint8Array(out.sizeBytes)
  let offset = 0
  for (const part of out.parts) {
    image.set(part, offset)
    offset += part.length
  }
  return image
}
