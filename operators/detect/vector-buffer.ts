/**
 * Readings of several metrics of a device, put together by their time: a vector per device and time, held until the lateness has
 * passed, in lists by event time. One owner: the detection. Invariant: a device's list ascends strictly, and lies at or above its
 * frontier. Bounded: with no room left, a device's oldest vector leaves before its time.
 */
import { assert } from '../../base/assert.ts'
import type { Stateful, StateReader, StateWriter } from '../../codecs/state.ts'

/** Per device. */
const DEVICE_FIELDS = 3
const NEWEST = 0
const FRONTIER = 1
const SEEN = 2
const NONE = -1

export class VectorBuffer implements Stateful {
  held = 0
  /** Readings below the frontier, and of vectors that had no room. */
  late = 0
  /** Of the vector that is handed on, the values; those that never came are NaN. */
  values: Float64Array
  readonly #dimensions: number
  readonly #countMax: number
  readonly #take: (device: number, ts: number, start: number) => void
  /** By vector; free ones are a list by #next. */
  #ts: Float64Array = new Float64Array(64)
  #previous: Int32Array = new Int32Array(64)
  #next: Int32Array = new Int32Array(64)
  #count = 0
  #free = NONE
  #devices = 0
  #fields: Float64Array = new Float64Array(64 * DEVICE_FIELDS)
  #head: Int32Array = new Int32Array(64)
  #tail: Int32Array = new Int32Array(64)

  /** `take` gets each vector, in the order of event time of its device: its values are values[start ...]. */
  constructor(
    dimensions: number,
    countMax: number,
    take: (device: number, ts: number, start: number) => void,
  ) {
    this.#dimensions = dimensions
    this.#countMax = countMax
    this.#take = take
    this.values = new Float64Array(64 * dimensions)
  }

  get devices(): number {
    return this.#devices
  }

  // hot: per reading
  add(device: number, dimension: number, ts: number, x: number, nowMs: number): void {
    if (device >= this.#devices) this.#addDevices(device + 1)
    const at = device * DEVICE_FIELDS
    this.#fields[at + SEEN] = nowMs
    if (ts < this.#fields[at + FRONTIER]) {
      this.late++
      return
    }
    const vector = this.#find(device, ts)
    if (vector === NONE) this.late++
    else this.values[vector * this.#dimensions + dimension] = x
    if (ts > this.#fields[at + NEWEST]) this.#fields[at + NEWEST] = ts
  }

  /** Hands on what lies more than the lateness below the device's newest time. */
  // hot: per message
  advance(device: number, latenessMs: number): void {
    this.#handOn(device, this.#fields[device * DEVICE_FIELDS + NEWEST] - latenessMs)
  }

  /** Hands on everything of devices that were silent since `sinceMs`. */
  settle(sinceMs: number): void {
    if (this.held === 0) return
    for (let device = 0; device < this.#devices; device++) {
      const at = device * DEVICE_FIELDS
      if (this.#head[device] === NONE || this.#fields[at + SEEN] > sinceMs) continue
      this.#handOn(device, this.#fields[at + NEWEST] + 1)
    }
  }

  save(out: StateWriter): void {
    out.numbers(this.#dimensions, this.held, this.late, this.#count, this.#free, this.#devices)
    out.f64(this.#ts, this.#count)
    out.i32(this.#previous, this.#count)
    out.i32(this.#next, this.#count)
    out.f64(this.values, this.#count * this.#dimensions)
    out.f64(this.#fields, this.#devices * DEVICE_FIELDS)
    out.i32(this.#head, this.#devices)
    out.i32(this.#tail, this.#devices)
  }

  load(from: StateReader): void {
    const [dimensions, held, late, count, free, devices] = from.numbers(6)
    assert(dimensions === this.#dimensions, 'state has vectors of as many dimensions')
    this.held = held
    this.late = late
    this.#count = count
    this.#free = free
    this.#devices = devices
    this.#ts = from.f64()
    this.#previous = from.i32()
    this.#next = from.i32()
    this.values = from.f64()
    this.#fields = from.f64()
    this.#head = from.i32()
    this.#tail = from.i32()
  }

  /** The device's vector of that time, a new one in its place if need be; NONE when there is no room. */
  #find(device: number, ts: number): number {
    let before = this.#tail[device]
    while (before !== NONE && this.#ts[before] > ts) before = this.#previous[before]
    if (before !== NONE && this.#ts[before] === ts) return before
    if (this.held >= this.#countMax) {
      const oldest = this.#head[device]
      if (oldest === NONE || this.#ts[oldest] > ts) return NONE
      this.#handOn(device, this.#ts[oldest] + 1)
      if (before === oldest) before = NONE
    }
    const vector = this.#new()
    this.#ts[vector] = ts
    this.values.fill(Number.NaN, vector * this.#dimensions, (vector + 1) * this.#dimensions)
    const after = before === NONE ? this.#head[device] : this.#next[before]
    this.#previous[vector] = before
    this.#next[vector] = after
    if (before === NONE) this.#head[device] = vector
    else this.#next[before] = vector
    if (after === NONE) this.#tail[device] = vector
    else this.#previous[after] = vector
    return vector
  }

  /** Raises the frontier and takes what is below it out. */
  #handOn(device: number, frontierMs: number): void {
    const at = device * DEVICE_FIELDS + FRONTIER
    if (!(frontierMs > this.#fields[at])) return
    this.#fields[at] = frontierMs
    for (let vector = this.#head[device]; vector !== NONE; vector = this.#head[device]) {
      const ts = this.#ts[vector]
      if (ts >= frontierMs) return
      const next = this.#next[vector]
      this.#head[device] = next
      if (next === NONE) this.#tail[device] = NONE
      else this.#previous[next] = NONE
      this.held--
      this.#take(device, ts, vector * this.#dimensions)
      this.#next[vector] = this.#free
      this.#free = vector
    }
  }

  #new(): number {
    this.held++
    const free = this.#free
    if (free !== NONE) {
      this.#free = this.#next[free]
      return free
    }
    if (this.#count === this.#ts.length) this.#grow(Math.max(64, this.#count * 2))
    return this.#count++
  }

  #grow(capacity: number): void {
    const { values } = this
    this.#ts = grown(this.#ts, new Float64Array(capacity))
    this.#previous = grown(this.#previous, new Int32Array(capacity))
    this.#next = grown(this.#next, new Int32Array(capacity))
    this.values = grown(values, new Float64Array(capacity * this.#dimensions))
  }

  #addDevices(count: number): void {
    const { length } = this.#head
    if (count > length) {
      const capacity = Math.max(64, count, length * 2)
      this.#fields = grown(this.#fields, new Float64Array(capacity * DEVICE_FIELDS))
      this.#head = grown(this.#head, new Int32Array(capacity))
      this.#tail = grown(this.#tail, new Int32Array(capacity))
    }
    this.#fields.fill(Number.NEGATIVE_INFINITY, this.#devices * DEVICE_FIELDS, count * DEVICE_FIELDS)
    this.#head.fill(NONE, this.#devices, count)
    this.#tail.fill(NONE, this.#devices, count)
    this.#devices = count
  }
}

function grown<A extends Int32Array | Float64Array>(old: A, next: A): A {
  next.set(old)
  return next
}
