/**
 * A first-in first-out queue of references over an array that is reused; `shift` costs the same at any
 * length.
 */
const COMPACT_COUNT = 1024

export class Fifo<T> {
  #items: (T | undefined)[] = []
  #head = 0

  get count(): number {
    return this.#items.length - this.#head
  }

  *[Symbol.iterator](): Generator<T> {
    for (let i = this.#head; i < this.#items.length; i++) yield this.#items[i] as T
  }

  push(item: T): void {
    this.#items.push(item)
  }

  peek(): T | undefined {
    return this.#items[this.#head]
  }

  shift(): T | undefined {
    const item = this.#items[this.#head]
    if (this.#head === this.#items.length) return undefined
    this.#items[this.#head++] = undefined
    if (this.#head === this.#items.length) {
      this.#items.length = 0
      this.#head = 0
    } else if (this.#head >= COMPACT_COUNT && this.#head * 2 >= this.#items.length) {
      this.#items.copyWithin(0, this.#head)
      this.#items.length -= this.#head
      this.#head = 0
    }
    return item
  }
}
