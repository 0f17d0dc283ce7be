/**
 * What panes keep beside their records in slot pools: for each record as many slot numbers as there are pools, 0 for none yet, in
 * an array that lies beside the records. One owner: the shard's thread. Invariant: a slot number stands in one place, once.
 */
import type { SlotPool } from './slot-pool.ts'

export class PaneExtras {
  readonly pools: readonly SlotPool[]
  /** Slot numbers a record. */
  readonly count: number
  /** For each pool, its bit in `needs`. */
  readonly #bits: readonly number[]

  constructor(pools: readonly SlotPool[], bits: readonly number[]) {
    this.pools = pools
    this.#bits = bits
    this.count = pools.length
  }

  /** Adds a value to the record whose slot numbers begin at `at`; `needs` says which pools it goes to. */
  // hot: per message
  add(slots: Int32Array, at: number, x: number, needs: number): void {
    for (let i = 0; i < this.count; i++) {
      if ((needs & this.#bits[i]) === 0) continue
      let slot = slots[at + i]
      if (slot === 0) {
        slot = this.pools[i].take()
        slots[at + i] = slot
      }
      this.pools[i].add(slot, x)
    }
  }

  /** Adds what another record holds, which keeps it. */
  merge(into: Int32Array, intoAt: number, from: Int32Array, fromAt: number, needs: number): void {
    for (let i = 0; i < this.count; i++) {
      const source = from[fromAt + i]
      if (source === 0 || (needs & this.#bits[i]) === 0) continue
      if (into[intoAt + i] === 0) into[intoAt + i] = this.pools[i].take()
      this.pools[i].merge(into[intoAt + i], source)
    }
  }

  /** Adds what another record holds, and empties that: what went nowhere else changes hands. */
  move(into: Int32Array, intoAt: number, from: Int32Array, fromAt: number): void {
    for (let i = 0; i < this.count; i++) {
      const source = from[fromAt + i]
      if (source === 0) continue
      from[fromAt + i] = 0
      if (into[intoAt + i] === 0) {
        into[intoAt + i] = source
      } else {
        this.pools[i].merge(into[intoAt + i], source)
        this.pools[i].give(source)
      }
    }
  }

  /** Appends a row of every pool: of those that it needs what the record holds. */
  appendRow(slots: Int32Array, at: number, needs: number): void {
    for (let i = 0; i < this.count; i++) {
      this.pools[i].appendRow((needs & this.#bits[i]) === 0 ? 0 : slots[at + i])
    }
  }

  clearRows(): void {
    for (const pool of this.pools) pool.clearRows()
  }

  /** Empties a record. */
  give(slots: Int32Array, at: number): void {
    for (let i = 0; i < this.count; i++) {
      if (slots[at + i] === 0) continue
      this.pools[i].give(slots[at + i])
      slots[at + i] = 0
    }
  }
}
