/**
 * The series of one shard: (device, metric) to a dense index and back. Owned by the shard's thread. Series of one
 * payload shape of a device lie in a row, so that the hot path looks up one number per message. Bounded.
 */
import type { StateReader, StateWriter } from '../../codecs/state.ts'
import { copied } from './typed-arrays.ts'

export class SeriesTable {
  readonly countMax: number
  count = 0
  device: Int32Array
  metric: Int32Array
  #slots: Int32Array

  constructor(countMax = 8_000_000, capacity = 4096) {
    this.countMax = countMax
    this.device = new Int32Array(capacity)
    this.metric = new Int32Array(capacity)
    this.#slots = new Int32Array(capacity * 2).fill(-1)
  }

  /** The index of (device, metric); -1 when there is none. */
  // hot: per reading of a payload without a shape
  lookup(device: number, metric: number): number {
    return this.#slots[this.#slotOf(device, metric)]
  }

  /** The index of (device, metric), a new one if need be; -1 when the table is full. */
  find(device: number, metric: number): number {
    const slot = this.#slotOf(device, metric)
    const index = this.#slots[slot]
    return index >= 0 ? index : this.#add(slot, device, metric)
  }

  /** The first of `metrics.length` series in a row, new ones unless they lie so already; -1 when they can't. */
  findRun(device: number, metrics: Int32Array): number {
    if (metrics.length === 0) return this.count
    const first = this.#slots[this.#slotOf(device, metrics[0])]
    if (first < 0 && this.count + metrics.length > this.countMax) return -1
    for (let i = 0; i < metrics.length; i++) {
      const series = this.#slots[this.#slotOf(device, metrics[i])]
      if (first < 0 ? series >= 0 : series !== first + i) return -1
    }
    if (first >= 0) return first
    const base = this.count
    for (let i = 0; i < metrics.length; i++) this.find(device, metrics[i])
    return this.count - base === metrics.length ? base : -1
  }

  save(out: StateWriter): void {
    out.numbers(this.count)
    out.i32(this.device, this.count)
    out.i32(this.metric, this.count)
  }

  load(from: StateReader): void {
    const [count] = from.numbers(1)
    const capacity = Math.max(count, this.device.length)
    this.device = copied(from.i32(), new Int32Array(capacity))
    this.metric = copied(from.i32(), new Int32Array(capacity))
    this.count = count
    this.#rehash(this.#slots.length)
  }

  #slotOf(device: number, metric: number): number {
    const slots = this.#slots
    const mask = slots.length - 1
    let slot = hashPair(device, metric) & mask
    for (let index = slots[slot]; index >= 0; index = slots[slot]) {
      if (this.device[index] === device && this.metric[index] === metric) return slot
      slot = (slot + 1) & mask
    }
    return slot
  }

  #add(slot: number, device: number, metric: number): number {
    if (this.count >= this.countMax) return -1
    const index = this.count
    if (index === this.device.length) {
      this.device = copied(this.device, new Int32Array(index * 2))
      this.metric = copied(this.metric, new Int32Array(index * 2))
    }
    this.device[index] = device
    this.metric[index] = metric
    this.#slots[slot] = index
    this.count++
    if (this.count * 2 > this.#slots.length) this.#rehash(this.#slots.length * 2)
    return index
  }

  #rehash(sizeMin: number): void {
    let size = sizeMin
    while (this.count * 2 > size) size *= 2
    const slots = new Int32Array(size).fill(-1)
    const mask = size - 1
    for (let index = 0; index < this.count; index++) {
      let slot = hashPair(this.device[index], this.metric[index]) & mask
      while (slots[slot] >= 0) slot = (slot + 1) & mask
      slots[slot] = index
    }
    this.#slots = slots
  }
}

function hashPair(device: number, metric: number): number {
  const mixed = Math.imul(device, 0x9e3779b1) ^ Math.imul(metric + 1, 0x85ebca6b)
  return mixed ^ (mixed >>> 15)
}
