import { expect, test } from 'vitest'
import { END, HEADER_WORDS, matchLiteral, ShapeTable, SLOT_COUNT_MAX } from './payload-shapes.ts'

const ROOM = 8

function viewOf(text: string): DataView {
  const bytes = new Uint8Array(text.length + ROOM).fill(0x3f)
  new TextEncoder().encodeInto(text, bytes)
  return new DataView(bytes.buffer)
}

/** Learns a text whose values are the digits in it; their metrics are the digits themselves. */
function learn(table: ShapeTable, text: string): number {
  const slots = [...text.matchAll(/\d/g)]
  const starts = Int32Array.from(slots, ({ index }) => index)
  const ends = starts.map((start) => start + 1)
  const metrics = Int32Array.from(slots, ([digit]) => Number(digit))
  return table.learn(viewOf(text), 0, text.length, slots.length, starts, ends, metrics)
}

test('a shape is learned at the second sighting and found from then on', () => {
  const table = new ShapeTable()
  expect(learn(table, '{a:1,b:2}')).toBe(-1)
  expect(learn(table, '{a:1,b:2}')).toBe(0)
  expect(learn(table, '{a:1,b:2}')).toBe(0)
  expect([...table.metrics(0)]).toEqual([1, 2])
  expect(table.count).toBe(1)
})

test('another literal, another metric or another order is another shape', () => {
  const table = new ShapeTable()
  const texts = [
    '{a:1,b:2}',
    '{a:1,c:2}',
    '{a:1,b:3}',
    '{b:2,a:1}',
    '{a:1,b:2,}',
    '{a:1}',
    '{a:1 }',
    '{a: 1}',
    '{aaaaa:1}',
    '{aaaab:1}',
  ]
  for (const text of texts) learn(table, text)
  expect(texts.map((text) => learn(table, text))).toEqual(texts.map((_, index) => index))
  expect(texts.map((text) => learn(table, text))).toEqual(texts.map((_, index) => index))
})

test('a full table learns nothing more and keeps what it has', () => {
  const table = new ShapeTable(2)
  for (const text of ['{a:1}', '{b:1}', '{c:1}', '{c:1}', '{c:1}']) learn(table, text)
  expect(learn(table, '{a:1}')).toBe(1)
  expect(learn(table, '{c:1}')).toBe(0)
  for (let round = 0; round < 3; round++) expect(learn(table, '{d:1}')).toBe(-1)
  expect(table.count).toBe(2)
})

test('shapes too large are not learned', () => {
  const table = new ShapeTable()
  const long = (sizeBytes: number) => `{${'k'.repeat(sizeBytes)}:1}`
  for (let round = 0; round < 2; round++) {
    learn(table, long(8188))
    learn(table, long(8190))
    learn(table, '1,'.repeat(SLOT_COUNT_MAX))
  }
  expect(learn(table, long(8188))).toBe(0)
  expect(learn(table, long(8190))).toBe(-1)
  expect(learn(table, '1,'.repeat(SLOT_COUNT_MAX))).toBe(1)
  expect(table.metrics(1)).toHaveLength(SLOT_COUNT_MAX)
})

test('literals of every size match themselves and nothing else', () => {
  for (let sizeBytes = 0; sizeBytes < 20; sizeBytes++) {
    const literal = 'abcdefghijklmnopqrstuvwxyz'.slice(0, sizeBytes)
    const table = new ShapeTable()
    learn(table, `${literal}1}`)
    const program = table.program(learn(table, `${literal}1}`))
    expect(program[0]).toBe(1)
    const next = matchLiteral(program, 1, viewOf(literal), 0)
    expect(program[next + 1]).toBe(END)
    expect(next).toBe(1 + HEADER_WORDS + Math.max(1, Math.ceil(sizeBytes / 4)))
    for (let at = 0; at < sizeBytes; at++) {
      const changed = `${literal.slice(0, at)}-${literal.slice(at + 1)}`
      expect(matchLiteral(program, 1, viewOf(changed), 0)).toBe(-1)
    }
  }
})
