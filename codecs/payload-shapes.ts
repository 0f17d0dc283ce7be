/**
 * The shapes of payloads that were seen before. A shape is what stays the same from one payload of a device
 * to the next: the literal bytes between the values, and what each value is. Both scanners share one table,
 * owned by the shard's thread.
 *
 * A shape is compiled to a program of words: the number of rows, then one entry per literal and the value
 * after it:
 *   [0] size of the literal in bytes   [1] metric of the value, or TIME_SLOT, or END after the last literal
 *   [2] index of the literal's last word   [3] mask of that word
 *   [4..] the literal, four bytes a word, lowest first, padded with zeros
 * A program is a plain array: a typed one is checked for a detached buffer at every access, 5 % of a scan
 * (bench json).
 *
 * Invariant: a number never changes its shape. So the table is bounded: at SHAPE_COUNT_MAX nothing more is
 * learned, the general scan serves other payloads with the same result, and their shape is -1. A shape is
 * learned when it is seen for the second time, so that payloads which never repeat do not fill the table.
 */

export const TIME_SLOT = -1
export const END = -2
/** Words before a literal's own. */
export const HEADER_WORDS = 4
/** Values of one shape; payloads with more are never learned. */
export const SLOT_COUNT_MAX = 256

const SHAPE_COUNT_MAX = 4096
const LITERAL_SIZE_BYTES_MAX = 8192
const PROGRAM_WORDS_MAX = 1 + (SLOT_COUNT_MAX + 1) * (HEADER_WORDS + 1) + LITERAL_SIZE_BYTES_MAX / 4
const SIGHTING_COUNT = 4096

export class ShapeTable {
  readonly countMax: number
  #programs: number[][] = []
  #metrics: Int32Array[] = []
  /** The newest shape of a hash, and the one before it. */
  #byHash = new Map<number, number>()
  #previous: number[] = []
  /** Hashes of shapes seen once. */
  #sightings = new Int32Array(SIGHTING_COUNT)
  #draft = new Int32Array(PROGRAM_WORDS_MAX)
  #draftSize = 0
  #alternates: Int32Array

  constructor(countMax = SHAPE_COUNT_MAX) {
    this.countMax = countMax
    this.#alternates = new Int32Array(countMax).fill(-1)
  }

  get count(): number {
    return this.#programs.length
  }

  program(shape: number): number[] {
    return this.#programs[shape]
  }

  /** The metrics of a shape's rows, in the order of the rows. Not to be changed. */
  metrics(shape: number): Int32Array {
    return this.#metrics[shape]
  }

  /** The shape to try when `shape` does not fit; -1 for none. For devices that send two layouts by turns. */
  alternate(shape: number): number {
    return this.#alternates[shape]
  }

  setAlternate(shape: number, alternate: number): void {
    this.#alternates[shape] = alternate
  }

  /**
   * The shape of the object in view[start, end) whose `slotCount` values lie at [slotStart[i], slotEnd[i]);
   * -1 when it is new to the table, too large for it, or the table is full. Four bytes past `end` must exist
   * in the view.
   */
  learn(
    view: DataView,
    start: number,
    end: number,
    slotCount: number,
    slotStart: Int32Array,
    slotEnd: Int32Array,
    slotMetric: Int32Array,
  ): number {
    let literalStart = start
    let literalSizeBytes = end - start
    for (let i = 0; i < slotCount; i++) literalSizeBytes -= slotEnd[i] - slotStart[i]
    if (literalSizeBytes > LITERAL_SIZE_BYTES_MAX) return -1
    this.#draftSize = 1
    this.#draft[0] = 0
    for (let i = 0; i < slotCount; i++) {
      this.#draftLiteral(view, literalStart, slotStart[i], slotMetric[i])
      literalStart = slotEnd[i]
    }
    this.#draftLiteral(view, literalStart, end, END)
    const hash = hashWords(this.#draft, this.#draftSize)
    for (let shape = this.#byHash.get(hash) ?? -1; shape >= 0; shape = this.#previous[shape]) {
      if (this.#isDraft(this.#programs[shape])) return shape
    }
    if (this.count >= this.countMax) return -1
    if (this.#sightings[hash & (SIGHTING_COUNT - 1)] !== hash) {
      this.#sightings[hash & (SIGHTING_COUNT - 1)] = hash
      return -1
    }
    return this.#add(hash, slotMetric.slice(0, slotCount))
  }

  #draftLiteral(view: DataView, start: number, end: number, metric: number): void {
    const draft = this.#draft
    const sizeBytes = end - start
    if (metric >= 0) draft[0]++
    const tailSizeBits = (sizeBytes & 3) * 8
    const mask = tailSizeBits > 0 ? (1 << tailSizeBits) - 1 : sizeBytes > 0 ? -1 : 0
    let size = this.#draftSize
    draft[size++] = sizeBytes
    draft[size++] = metric
    draft[size] = size + 2 + Math.max(0, (sizeBytes - 1) >> 2)
    draft[size + 1] = mask
    size += 2
    let offset = start
    do {
      const isLast = offset + 4 >= end
      draft[size++] = view.getInt32(offset, true) & (isLast ? mask : -1)
      offset += 4
    } while (offset < end)
    this.#draftSize = size
  }

  #isDraft(program: number[]): boolean {
    if (program.length !== this.#draftSize) return false
    for (let i = 0; i < program.length; i++) if (program[i] !== this.#draft[i]) return false
    return true
  }

  #add(hash: number, slotMetric: Int32Array): number {
    const shape = this.#programs.length
    this.#programs.push(Array.from(this.#draft.slice(0, this.#draftSize)))
    this.#metrics.push(slotMetric.filter((metric) => metric >= 0))
    this.#previous.push(this.#byHash.get(hash) ?? -1)
    this.#byHash.set(hash, shape)
    return shape
  }
}

/**
 * Compares the literal of the program entry at `at` with the bytes at `offset`. Returns the index of the
 * entry after it, or -1. Reads up to three bytes past the literal.
 */
// hot: per value
export function matchLiteral(program: number[], at: number, view: DataView, offset: number): number {
  const lastWord = program[at + 2]
  for (let word = at + HEADER_WORDS; word < lastWord; word++) {
    if (view.getInt32(offset, true) !== program[word]) return -1
    offset = (offset + 4) | 0
  }
  return ((view.getInt32(offset, true) ^ program[lastWord]) & program[at + 3]) === 0 ? lastWord + 1 : -1
}

/** FNV-1a over whole words, then mixed. */
function hashWords(words: Int32Array, count: number): number {
  let hash = 0x811c9dc5 | 0
  for (let i = 0; i < count; i++) {
    hash = Math.imul(hash ^ words[i], 0x01000193)
    hash ^= hash >>> 15
  }
  return hash
}
