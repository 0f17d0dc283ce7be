import { describe, expect, test } from 'vitest'
import { hashBytes } from './hash.ts'
import { Prng } from './prng.ts'

/** The seed of `hashBytes`: part of the data directory's format. */
const SEED = 0x4d69_6c6c

/** MurmurHash3 x86 32 bit straight from its description, in BigInt, with the seed as a parameter. */
function murmur3(bytes: Uint8Array, seed: number): number {
  const mask = 0xffff_ffffn
  const rotate = (value: bigint, by: bigint): bigint => ((value << by) | (value >> (32n - by))) & mask
  const mix = (word: bigint): bigint => (rotate((word * 0xcc9e_2d51n) & mask, 15n) * 0x1b87_3593n) & mask
  let hash = BigInt(seed)
  for (let block = 0; block < bytes.length; block += 4) {
    let word = 0n
    const part = bytes.subarray(block, block + 4)
    for (let i = 0; i < part.length; i++) word += BigInt(part[i]) << BigInt(8 * i)
    hash ^= mix(word)
    if (part.length === 4) hash = (rotate(hash, 13n) * 5n + 0xe654_6b64n) & mask
  }
  hash ^= BigInt(bytes.length)
  hash = ((hash ^ (hash >> 16n)) * 0x85eb_ca6bn) & mask
  hash = ((hash ^ (hash >> 13n)) * 0xc2b2_ae35n) & mask
  return Number(hash ^ (hash >> 16n))
}

function hash(bytes: Uint8Array): number {
  return hashBytes(bytes, 0, bytes.length)
}

// Published test vectors: the reference tests of SMHasher's users (Wikipedia, Guava, smhasher).
test.each([
  ['', 0, 0x0000_0000],
  ['', 1, 0x514e_28b7],
  ['', 0xffff_ffff, 0x81f1_6f39],
  ['test', 0, 0xba6b_d213],
  ['test', 0x9747_b28c, 0x704b_81dc],
  ['Hello, world!', 0, 0xc036_3e43],
  ['Hello, world!', 0x9747_b28c, 0x2488_4cba],
  ['The quick brown fox jumps over the lazy dog', 0, 0x2e4f_f723],
  ['The quick brown fox jumps over the lazy dog', 0x9747_b28c, 0x2fa8_26cd],
])('the reference gives the published hash of %j with seed %i', (text, seed, expected) => {
  expect(murmur3(new TextEncoder().encode(text), seed)).toBe(expected)
})

test.each([
  [[0xff, 0xff, 0xff, 0xff], 0, 0x7629_3b50],
  [[0x21, 0x43, 0x65, 0x87], 0, 0xf55b_516b],
  [[0x21, 0x43, 0x65, 0x87], 0x5082_edee, 0x2362_f9de],
  [[0x21, 0x43, 0x65], 0, 0x7e4a_8634],
  [[0x21, 0x43], 0, 0xa0f7_b07a],
  [[0x21], 0, 0x7266_1cf4],
  [[0, 0, 0, 0], 0, 0x2362_f9de],
  [[0, 0, 0], 0, 0x85f0_b427],
  [[0], 0, 0x514e_28b7],
])('the reference gives the published hash of the bytes %j with seed %i', (bytes, seed, expected) => {
  expect(murmur3(Uint8Array.from(bytes), seed)).toBe(expected)
})

describe('hashBytes', () => {
  test('equals the reference at every length up to 64 bytes, and for seeded bytes', () => {
    const seed = 20_261_120
    const prng = new Prng(seed)
    for (let round = 0; round < 2_000; round++) {
      const bytes = Uint8Array.from({ length: round % 65 }, () => prng.between(0, 255))
      if (hash(bytes) !== murmur3(bytes, SEED)) expect.fail(`seed ${seed}, round ${round}: [${bytes}]`)
    }
  })

  test('hashes the range only, wherever it lies', () => {
    const prng = new Prng(1)
    const bytes = Uint8Array.from({ length: 80 }, () => prng.between(0, 255))
    for (let start = 0; start < 9; start++) {
      for (let end = start; end <= start + 33; end++) {
        expect(hashBytes(bytes, start, end)).toBe(hash(bytes.slice(start, end)))
      }
    }
  })

  test('spreads numbered devices evenly over the shards', () => {
    for (const shards of [2, 3, 4, 8]) {
      const counts = new Array<number>(shards).fill(0)
      for (let device = 0; device < 80_000; device++) {
        counts[hash(new TextEncoder().encode(`device-${device}`)) % shards]++
      }
      for (const count of counts) expect(Math.abs(count / (80_000 / shards) - 1)).toBeLessThan(0.03)
    }
  })
})
