/**
 * How many connections the whole engine has, and each address: shared by all gateways, so that limits hold
 * however the kernel deals connections out. Addresses are counted by a hash; two that share a place, one pair
 * in 65,536, share their limit. IPv6 is counted by networks of 64 bits, which is what one host is given.
 *
 * Layout, Int32: 0 the last connection number, 1 the connections, 2 ... by address. All gateways write all
 * words, by atomic additions.
 */
import { assert } from '../../base/assert.ts'
import { hashBytes } from '../../base/hash.ts'

const NUMBER = 0
const OPEN = 1
const PLACES = 2
const PLACE_COUNT = 1 << 16
const NETWORK_GROUPS = 4
const GROUPS = 8

export class ConnectionCounts {
  #words: Int32Array

  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer((PLACES + PLACE_COUNT) * Int32Array.BYTES_PER_ELEMENT)
  }

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory)
    assert(this.#words.length === PLACES + PLACE_COUNT, 'the memory is of ConnectionCounts')
  }

  /** The next connection number; wraps at 2^32. */
  takeNumber(): number {
    return (Atomics.add(this.#words, NUMBER, 1) + 1) >>> 0
  }

  /** Counts another connection; false, and nothing counted, when there are `countMax`. */
  open(countMax: number): boolean {
    return this.#add(OPEN, countMax)
  }

  close(): void {
    Atomics.sub(this.#words, OPEN, 1)
  }

  openAt(address: string, countMax: number): boolean {
    return this.#add(placeOf(address), countMax)
  }

  closeAt(address: string): void {
    Atomics.sub(this.#words, placeOf(address), 1)
  }

  #add(word: number, countMax: number): boolean {
    if (Atomics.add(this.#words, word, 1) < countMax) return true
    Atomics.sub(this.#words, word, 1)
    return false
  }
}

function placeOf(address: string): number {
  const key = Buffer.from(networkOf(address))
  return PLACES + (hashBytes(key, 0, key.length) & (PLACE_COUNT - 1))
}

/** IPv4 as it is; of IPv6 the first four groups. */
function networkOf(address: string): string {
  if (!address.includes(':')) return address
  const [left, right] = address.split('::')
  const groups = left === '' ? [] : left.split(':')
  if (right !== undefined) {
    const rightCount = right === '' ? 0 : right.split(':').length
    while (groups.length < GROUPS - rightCount) groups.push('0')
  }
  return groups.slice(0, NETWORK_GROUPS).join(':')
}
