/**
 * When something is due: a binary heap of times, earliest first, equal times by handle. Entries are not taken back: whoever
 * pops one looks whether it still holds. Owned by the session thread.
 */
interface Deadline {
  atMs: number
  handle: number
}

export class Deadlines {
  #heap: Deadline[] = []

  get count(): number {
    return this.#heap.length
  }

  /** Infinity when there is none. */
  get nextMs(): number {
    return this.#heap.length === 0 ? Number.POSITIVE_INFINITY : this.#heap[0].atMs
  }

  add(atMs: number, handle: number): void {
    const heap = this.#heap
    const entry = { atMs, handle }
    let index = heap.length
    heap.push(entry)
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!isBefore(entry, heap[parent])) break
      heap[index] = heap[parent]
      index = parent
    }
    heap[index] = entry
  }

  /** The handle of the earliest; there is one. */
  shift(): number {
    const heap = this.#heap
    const [{ handle }] = heap
    const last = heap.pop() as Deadline
    if (heap.length > 0) this.#sink(last)
    return handle
  }

  clear(): void {
    this.#heap.length = 0
  }

  #sink(entry: Deadline): void {
    const heap = this.#heap
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++
      if (!isBefore(heap[child], entry)) break
      heap[index] = heap[child]
      index = child
    }
    heap[index] = entry
  }
}

function isBefore(a: Deadline, b: Deadline): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.handle < b.handle)
}
