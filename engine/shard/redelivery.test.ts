import { expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { StateReader, StateWriter } from '../../codecs/state.ts'
import { Redelivery } from './redelivery.ts'

/** Saved and loaded into another. */
function copyOf(redelivery: Redelivery, inFlightMax: number): Redelivery {
  const state = new StateWriter()
  redelivery.save(state)
  const bytes = Buffer.concat(state.parts)
  const copy = new Redelivery(inFlightMax)
  copy.load(
    new StateReader(new Uint8Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))),
  )
  return copy
}

test('a duplicate is what the same identifier and payload was on an earlier connection, within the last in flight', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const prng = new Prng(seed)
    const inFlightMax = 64 * prng.between(1, 4)
    let redelivery = new Redelivery(inFlightMax)
    const entries = new Map<number, { id: number; hash: number; connection: number }[]>()
    const connections = new Map<number, number>()
    for (let step = 0; step < 4000; step++) {
      const client = prng.between(0, 5)
      if (prng.unit() < 0.01) connections.set(client, prng.u32())
      if (prng.unit() < 0.001) redelivery = copyOf(redelivery, inFlightMax)
      const connection = connections.get(client) ?? 1
      const id = prng.between(1, 40)
      const hash = prng.between(0, 3)
      const isDup = prng.unit() < 0.5
      const mine = entries.get(client) ?? []
      entries.set(client, mine)
      const newest = mine.findLast((entry) => entry.id === id)
      const age = newest === undefined ? 0 : mine.length - mine.lastIndexOf(newest)
      const isMatch =
        isDup && newest !== undefined && newest.connection !== connection && newest.hash === hash
      const found = redelivery.isDuplicatePublish(client, connection, id, isDup, hash)
      // Whole blocks of 64 are forgotten: between the bound less one block and the bound, either is right.
      if (age <= inFlightMax - 64) expect(found, `seed ${seed}, step ${step}`).toBe(isMatch)
      else if (found) expect(isMatch && age <= inFlightMax, `seed ${seed}, step ${step}`).toBe(true)
      mine.push({ id, hash, connection })
    }
  }
})

test('equal payloads that a device sends twice both stay, and so does an identifier that was used again', () => {
  const redelivery = new Redelivery(64)
  expect(redelivery.isDuplicatePublish(1, 7, 1, false, 5)).toBe(false)
  expect(redelivery.isDuplicatePublish(1, 7, 2, false, 5)).toBe(false)
  expect(redelivery.isDuplicatePublish(1, 7, 1, true, 5)).toBe(false) // the same connection: not a redelivery
  expect(redelivery.isDuplicatePublish(1, 8, 2, true, 5)).toBe(true)
  expect(redelivery.isDuplicatePublish(1, 8, 1, false, 5)).toBe(false) // without DUP it is a new message
  expect(redelivery.isDuplicatePublish(1, 9, 1, true, 6)).toBe(false) // another payload
  expect(redelivery.isDuplicatePublish(2, 9, 1, true, 5)).toBe(false) // another client
})

test('a frame is a duplicate when its session sent the same number and payload', () => {
  const redelivery = new Redelivery(64)
  expect(redelivery.isDuplicateFrame(1, 1, 5)).toBe(false)
  expect(redelivery.isDuplicateFrame(1, 1, 5)).toBe(true)
  expect(redelivery.isDuplicateFrame(1, 1, 6)).toBe(false)
  expect(redelivery.isDuplicateFrame(1, 1 + 0x1_0000, 5)).toBe(false)
  expect(redelivery.isDuplicateFrame(2, 1, 5)).toBe(false)
  expect(redelivery.isDuplicatePublish(1, 1, 1, true, 5)).toBe(false) // sessions and clients are apart
})

test('its memory is bounded: clients beyond the bound are never duplicates', () => {
  const redelivery = new Redelivery(1024, 64 * 4)
  for (let client = 0; client < 10; client++) expect(redelivery.isDuplicateFrame(client, 1, 1)).toBe(false)
  const found = Array.from({ length: 10 }, (_, client) => redelivery.isDuplicateFrame(client, 1, 1))
  expect(found.filter(Boolean)).toHaveLength(4)
})
