/**
 * Bytes to strings for steps that ask for a device, a level or a text: the same bytes give the same string again, as long as
 * no others have taken its slot, and then nothing is allocated. Direct-mapped, bounded. Owned by the shard's thread.
 */
import { hashBytes } from '../../base/hash.ts'

const SLOT_COUNT = 1 << 14
/** Longer texts are decoded each time. */
const CACHED_SIZE_BYTES_MAX = 128
const NOTHING = new Uint8Array(0)

export class TextCache {
  #bytes: Uint8Array[] = new Array(SLOT_COUNT).fill(NOTHING)
  #texts: string[] = new Array(SLOT_COUNT).fill('')
  #decoder = new TextDecoder()

  /** The text of bytes[start, end), UTF-8. */
  // hot: per text that a step asks for
  text(bytes: Uint8Array, start: number, end: number): string {
    const size = end - start
    if (size > CACHED_SIZE_BYTES_MAX) return this.#decoder.decode(bytes.slice(start, end))
    const slot = hashBytes(bytes, start, end) & (SLOT_COUNT - 1)
    const cached = this.#bytes[slot]
    if (cached.length === size && isSame(cached, bytes, start)) return this.#texts[slot]
    const copy = bytes.slice(start, end)
    const text = this.#decoder.decode(copy)
    this.#bytes[slot] = copy
    this.#texts[slot] = text
    return text
  }
}

function isSame(cached: Uint8Array, bytes: Uint8Array, start: number): boolean {
  for (let i = 0; i < cached.length; i++) if (cached[i] !== bytes[start + i]) return false
  return true
}
