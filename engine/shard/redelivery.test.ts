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

/** Connection `count` of a life of the engine. */
const numbered = (life: number, count: number) => life * 2 ** 32 + count

test('a duplicate is what the same identifier and payload was on another connection, within the last in flight', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const prng = new Prng(seed)
    const inFlightMax = prng.between(1, 200)
    let redelivery = new Redelivery(inFlightMax)
    const entries = new Map<number, { id: number; hash: number; connection: number }[]>()
    const connections = new Map<number, number>()
    const used = new Set<number>()
    let life = prng.between(1, 1000)
    for (let step = 0; step < 4000; step++) {
      const client = prng.between(0, 5)
      if (prng.unit() < 0.01) connections.set(client, numbered(life, step + 10))
      if (prng.unit() < 0.001) life = prng.between(1, 1000)
      if (prng.unit() < 0.001) redelivery = copyOf(redelivery, inFlightMax)
      const present = connections.get(client) ?? 1
      const isStraggler = prng.unit() < 0.03 && present > 1 && used.has(present)
      const connection = isStraggler ? present - prng.between(1, 9) : present
      used.add(connection)
      const id = prng.between(1, 40)
      const hash = prng.between(0, 3) << 7
      const isDup = prng.unit() < 0.5
      const mine = entries.get(client) ?? []
      entries.set(client, mine)
      const newest = mine.findLast((entry) => entry.id === id)
      const age = newest === undefined ? 0 : mine.length - mine.lastIndexOf(newest)
      const isOther = isStraggler || (isDup && newest?.connection !== connection)
      const isMatch = newest !== undefined && isOther && newest.hash === hash
      const found = redelivery.isDuplicatePublish(client, connection, id, isDup, hash)
      // Whole blocks of 64 are forgotten, so that behind the bound either is right.
      if (age <= inFlightMax) expect(found, `seed ${seed}, step ${step}`).toBe(isMatch)
      else if (found) expect(isMatch && age <= inFlightMax + 128, `seed ${seed}, step ${step}`).toBe(true)
      if (!found) mine.push({ id, hash, connection })
    }
  }
})

test('all that a client has in flight is known again, however often it tries', () => {
  const redelivery = new Redelivery(100)
  for (let connection = 1; connection <= 20; connection++) {
    const sent = connection === 20 ? 100 : connection * 5
    for (let id = 1; id <= 100 && (connection === 1 || id <= sent); id++) {
      const isKnown = redelivery.isDuplicatePublish(1, numbered(1, connection), id, connection > 1, id << 4)
      expect(isKnown, `connection ${connection}, identifier ${id}`).toBe(connection > 1)
    }
  }
})

test('a message that its own redelivery has overtaken, by way of another gateway, is the duplicate', () => {
  const redelivery = new Redelivery(64)
  expect(redelivery.isDuplicatePublish(1, numbered(5, 2), 1, true, 80)).toBe(false)
  expect(redelivery.isDuplicatePublish(1, numbered(5, 1), 1, false, 80)).toBe(true)
  expect(redelivery.isDuplicatePublish(1, numbered(5, 1), 2, false, 96)).toBe(false)
  expect(redelivery.isDuplicatePublish(1, numbered(5, 2), 2, true, 96)).toBe(true)
  expect(redelivery.isDuplicatePublish(1, numbered(4, 9), 1, false, 80)).toBe(false) // another life: newer, not older
})

test('equal payloads that a device sends twice both stay, and so does an identifier that was used again', () => {
  const redelivery = new Redelivery(64)
  expect(redelivery.isDuplicatePublish(1, 7, 1, false, 20)).toBe(false)
  expect(redelivery.isDuplicatePublish(1, 7, 2, false, 20)).toBe(false)
  expect(redelivery.isDuplicatePublish(1, 7, 1, true, 20)).toBe(false) // the same connection: not a redelivery
  expect(redelivery.isDuplicatePublish(1, 8, 2, true, 20)).toBe(true)
  expect(redelivery.isDuplicatePublish(1, 8, 1, false, 20)).toBe(false) // without DUP it is a new message
  expect(redelivery.isDuplicatePublish(1, 9, 1, true, 24)).toBe(false) // another payload
  expect(redelivery.isDuplicatePublish(2, 9, 1, true, 20)).toBe(false) // another client
})

test('a frame is a duplicate when its session sent the same number and payload', () => {
  const redelivery = new Redelivery(64)
  expect(redelivery.isDuplicateFrame(1, 1, 20)).toBe(false)
  expect(redelivery.isDuplicateFrame(1, 1, 20)).toBe(true)
  expect(redelivery.isDuplicateFrame(1, 1, 24)).toBe(false)
  expect(redelivery.isDuplicateFrame(1, 1 + 0x1_0000, 20)).toBe(false)
  expect(redelivery.isDuplicateFrame(2, 1, 20)).toBe(false)
  expect(redelivery.isDuplicatePublish(1, 1, 1, true, 20)).toBe(false) // sessions and clients are apart
})

test('a released message of QoS 2 makes no duplicate of the next one', () => {
  const redelivery = new Redelivery(64)
  const [first, second, third] = [1, 2, 3].map((count) => numbered(9, count))
  expect(redelivery.isDuplicatePublish(1, first, 1, false, 20)).toBe(false)
  expect(redelivery.isDuplicatePublish(1, second, 1, true, 20)).toBe(true) // not released yet
  redelivery.release(1, second, 1)
  expect(redelivery.isDuplicatePublish(1, first, 1, false, 20)).toBe(true) // the first one, overtaken by its redelivery
  expect(redelivery.isDuplicatePublish(1, third, 1, true, 20)).toBe(false) // another one, whose first delivery was lost
  redelivery.release(1, second, 1) // late word of an older connection: about the message before
  expect(redelivery.isDuplicatePublish(1, numbered(9, 4), 1, true, 20)).toBe(true)
  redelivery.release(1, numbered(9, 4), 2) // nothing under that identifier, nor of that client
  redelivery.release(2, numbered(9, 4), 1)
  expect(copyOf(redelivery, 64).isDuplicatePublish(1, numbered(9, 5), 1, true, 20)).toBe(true)
  redelivery.release(1, numbered(9, 5), 1)
  expect(copyOf(redelivery, 64).isDuplicatePublish(1, numbered(9, 6), 1, true, 20)).toBe(false)
})

test('its memory is bounded: clients beyond the bound are never duplicates', () => {
  const redelivery = new Redelivery(1024, 64 * 4)
  for (let client = 0; client < 10; client++) expect(redelivery.isDuplicateFrame(client, 1, 1)).toBe(false)
  const found = Array.from({ length: 10 }, (_, client) => redelivery.isDuplicateFrame(client, 1, 1))
  expect(found.filter(Boolean)).toHaveLength(4)
})
