import { describe, expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import { StateReader, StateWriter } from '../codecs/state.ts'
import { HoppingBlocks, RECORD_STRIDE } from './hopping-blocks.ts'

const RECORD = 8
const SLOTS = 2
const HEADER_OWN = 2

/** Writes a mark into every word that is the user's. */
function mark(blocks: HoppingBlocks, one: number, records: number, value: number): void {
  const block = blocks.of(one)
  const at = blocks.offset(block)
  for (let record = 0; record < records; record++) {
    for (let i = record === 0 ? HEADER_OWN : 0; i < RECORD; i++) {
      blocks.chunk(block)[at + record * RECORD_STRIDE + i] = value + record * RECORD + i
    }
  }
  blocks.slots(block).fill(value, blocks.slotOffset(block), blocks.slotOffset(block) + records * SLOTS)
}

function expectMark(blocks: HoppingBlocks, one: number, records: number, value: number): void {
  const block = blocks.of(one)
  const at = blocks.offset(block)
  let wrong = 0
  for (let record = 0; record < records; record++) {
    for (let i = record === 0 ? HEADER_OWN : 0; i < RECORD; i++) {
      const found = blocks.chunk(block)[at + record * RECORD_STRIDE + i]
      if (found !== value + record * RECORD + i) wrong++
    }
  }
  const slotsAt = blocks.slotOffset(block)
  for (const slot of blocks.slots(block).subarray(slotsAt, slotsAt + records * SLOTS)) {
    if (slot !== value) wrong++
  }
  expect(wrong, `words of series ${one} that are not its own`).toBe(0)
}

function reloaded(blocks: HoppingBlocks, records: number, seriesCount: number): HoppingBlocks {
  const out = new StateWriter()
  blocks.save(out, seriesCount)
  const loaded = new HoppingBlocks(records, SLOTS)
  loaded.load(new StateReader(Buffer.concat(out.parts)), seriesCount)
  return loaded
}

describe('blocks', () => {
  // Chunks of several groups, and of one each.
  test.each([62, 1442])('of %i records never share a word, through takes, gives and loads', (records) => {
    const seed = 20 + records
    const prng = new Prng(seed)
    const seriesCount = 300
    const marks = new Map<number, number>()
    let blocks = new HoppingBlocks(records, SLOTS)
    blocks.admit(seriesCount - 1)
    for (let step = 0; step < 1000; step++) {
      const one = prng.between(0, seriesCount - 1)
      if (!marks.has(one)) {
        const block = blocks.take(one)
        const at = blocks.offset(block)
        for (let record = 1; record < records; record++) {
          expect(blocks.chunk(block)[at + record * RECORD_STRIDE], `seed ${seed}`).toBe(0)
        }
        marks.set(one, step * 100_000)
        mark(blocks, one, records, step * 100_000)
      } else if (prng.between(0, 2) === 0) {
        expectMark(blocks, one, records, marks.get(one) ?? -1)
        blocks.give(one)
        marks.delete(one)
      }
      if (step === 500) blocks = reloaded(blocks, records, seriesCount)
      expect(blocks.count, `seed ${seed}`).toBe(marks.size)
    }
    for (const [one, value] of marks) expectMark(blocks, one, records, value)
  })

  test('come up in turn, each of those in use once a round', () => {
    const blocks = new HoppingBlocks(3, 0)
    for (let one = 0; one < 200; one++) blocks.take(one)
    for (let one = 0; one < 200; one += 3) blocks.give(one)
    const left = Array.from({ length: 200 }, (_, one) => one).filter((one) => one % 3 !== 0)
    for (let round = 0; round < 2; round++) {
      expect(left.map(() => blocks.takeTurn()).sort((a, b) => a - b)).toEqual(left)
    }
  })

  test('are as new after a clear', () => {
    const blocks = new HoppingBlocks(3, 0)
    for (let one = 0; one < 100; one++) blocks.take(one)
    blocks.clear()
    expect([blocks.count, blocks.of(7), blocks.take(50)]).toEqual([0, 0, 1])
  })
})
