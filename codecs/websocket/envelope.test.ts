import { decode, encode } from '@msgpack/msgpack'
import { pack } from 'msgpackr'
import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { jsonAck, jsonError, msgpackAck, msgpackError } from './answers.ts'
import { cutJsonEnvelope, cutMsgpackEnvelope, Envelope, EnvelopeFault } from './envelope.ts'

const SEED = Number(process.env.SEED ?? 81)
const envelope = new Envelope()

type Cut = { fault: number; seq?: number; data?: Buffer }

/** Cuts with other bytes before and behind, which must not matter. */
function cutWith(cutter: typeof cutJsonEnvelope, frame: Uint8Array): Cut {
  const bytes = Buffer.concat([Buffer.from('"}'), frame, Buffer.from(']},')])
  const fault = cutter(bytes, 2, 2 + frame.length, envelope)
  if (fault !== EnvelopeFault.NONE) return { fault }
  return { fault, seq: envelope.seq, data: bytes.subarray(envelope.dataStart, envelope.dataEnd) }
}

const cutJson = (text: string): Cut => cutWith(cutJsonEnvelope, Buffer.from(text))
const cutMsgpack = (bytes: Uint8Array): Cut => cutWith(cutMsgpackEnvelope, bytes)

function randomValue(random: Prng, depth: number): unknown {
  const kind = random.between(0, depth > 3 ? 6 : 8)
  if (kind === 0) return null
  if (kind === 1) return random.between(0, 1) === 1
  if (kind === 2) return random.between(0, 100)
  if (kind === 3) return -random.u32() * random.between(1, 100_000)
  if (kind === 4) return random.normal() * 10 ** random.between(-20, 20)
  if (kind === 5) return '"\\}]{[, \u0000é😀'.repeat(random.between(0, 20))
  if (kind === 6)
    return depth === 0 && random.between(0, 9) === 0 ? 'x'.repeat(70_000) : 'x'.repeat(random.between(0, 300))
  const count = depth === 0 && random.between(0, 9) === 0 ? 300 : random.between(0, 3)
  const values = Array.from({ length: count }, () => randomValue(random, depth + 1))
  return kind === 7 ? values : Object.fromEntries(values.map((value, i) => [`k"}${i}`, value]))
}

describe('JSON', () => {
  test('cuts what JSON.parse reads, in either order and with any white space', () => {
    const random = new Prng(SEED)
    for (let round = 0; round < 500; round++) {
      const data = randomValue(random, 0)
      const seq = random.u32() * 2 ** random.between(0, 20)
      const frame = random.between(0, 1) === 0 ? { seq, data } : { data, seq }
      const text = JSON.stringify(frame, null, [undefined, ' ', '\t'][random.between(0, 2)])
      const cut = cutJson(` ${text}\r\n`)
      expect(cut, `SEED=${SEED}`).toMatchObject({ fault: EnvelopeFault.NONE, seq })
      expect(JSON.parse(String(cut.data))).toEqual(data)
    }
  })

  test.each([
    '{"seq":0,"data":1}',
    '{"seq":9007199254740991,"data":"a"}',
    '{"data":[],"seq":7}',
    '{"seq":1,"data":-1.5e+3}',
  ])('takes %s', (text) =>
    expect(cutJson(text)).toMatchObject({ fault: EnvelopeFault.NONE, seq: JSON.parse(text).seq }),
  )

  test.each([
    '',
    '   ',
    '[]',
    'null',
    '{}',
    '{"seq":1}',
    '{"data":1}',
    '{"seq":1,"seq":2}',
    '{"data":1,"data":2}',
    '{"seq":1,"data":1,"more":1}',
    '{"seq":1,"data":1,}',
    '{"seq":1 "data":1}',
    '{"seq":1,"data":}',
    '{"seq":1,"data":{}',
    '{"seq":1,"data":"a}',
    '{"seq":1,"data":"a\\"}',
    '{"seq":1,"data":1}}',
    '{"seq":1,"data":1} {"seq":2,"data":1}',
    '{"Seq":1,"data":1}',
    '{"\\u0073eq":1,"data":1}',
    "{'seq':1,'data':1}",
    '{"seq":1,"data":]}',
  ])('refuses %j', (text) => expect(cutJson(text)).toEqual({ fault: EnvelopeFault.NOT_AN_ENVELOPE }))

  test.each(['-1', '01', '1.0', '1e3', '9007199254740992', '"1"', 'null', 'true', ''])(
    'refuses seq %j',
    (seq) => {
      expect(cutJson(`{"seq":${seq},"data":1}`)).toEqual({ fault: EnvelopeFault.SEQ_INVALID })
    },
  )
})

describe('MessagePack', () => {
  test('cuts what two other encoders write', () => {
    const random = new Prng(SEED)
    for (let round = 0; round < 500; round++) {
      const data = randomValue(random, 0)
      const seq = random.u32() * 2 ** random.between(0, 20)
      const frame = random.between(0, 1) === 0 ? { seq, data } : { data, seq }
      const cut = cutMsgpack(random.between(0, 1) === 0 ? encode(frame) : pack(frame))
      expect(cut, `SEED=${SEED}`).toMatchObject({ fault: EnvelopeFault.NONE, seq })
      expect(decode(cut.data!)).toEqual(data)
    }
  })

  test('takes every length format of map, key and number', () => {
    const bytes = (hex: string): Uint8Array => Buffer.from(hex, 'hex')
    const [seq, data] = ['a3736571', 'a464617461']
    for (const head of ['82', 'de0002', 'df00000002']) {
      for (const key of [seq, 'd903736571', 'da0003736571', 'db00000003736571']) {
        for (const number of [
          '05',
          'cc05',
          'cd0005',
          'ce00000005',
          'cf0000000000000005',
          'd005',
          'd10005',
          'd200000005',
        ]) {
          expect(cutMsgpack(bytes(`${head}${key}${number}${data}c0`))).toMatchObject({ fault: 0, seq: 5 })
        }
      }
    }
    for (const number of ['ca40a00000', 'cb4014000000000000', 'd30000000000000005']) {
      expect(cutMsgpack(bytes(`82${data}c0${seq}${number}`))).toMatchObject({ fault: 0, seq: 5 })
    }
    for (const number of [
      'ff',
      'd0ff',
      'd3ffffffffffffffff',
      'cf0020000000000000',
      'cb3fe0000000000000',
      'cb7ff8000000000000',
      'c0',
      'a131',
      'cd00',
    ]) {
      expect(cutMsgpack(bytes(`82${data}c0${seq}${number}`)), number).toEqual({
        fault: EnvelopeFault.SEQ_INVALID,
      })
    }
  })

  test('refuses every other shape, and every frame that ends too early', () => {
    for (const value of [
      null,
      1,
      [1, 2],
      {},
      { seq: 1 },
      { data: 1 },
      { seq: 1, data: 2, more: 3 },
      { seq: 1, date: 2 },
    ]) {
      expect(cutMsgpack(encode(value)), JSON.stringify(value)).toEqual({
        fault: EnvelopeFault.NOT_AN_ENVELOPE,
      })
    }
    const frame = encode({
      seq: 70_000,
      data: { a: [1, 'text', 2.5, new Uint8Array(300), null], b: new Date(0) },
    })
    expect(cutMsgpack(frame).fault).toBe(EnvelopeFault.NONE)
    for (let size = 0; size < frame.length; size++) {
      expect(cutMsgpack(frame.subarray(0, size)).fault, `${size} bytes`).not.toBe(EnvelopeFault.NONE)
    }
    expect(cutMsgpack(Buffer.concat([frame, Buffer.of(0)])).fault).toBe(EnvelopeFault.NOT_AN_ENVELOPE)
  })

  test('a bogus count of four billion, or a thousand levels, costs nothing', () => {
    const head = Buffer.from('82a373657101a464617461', 'hex')
    expect(cutMsgpack(Buffer.concat([head, Buffer.from('dfffffffff', 'hex')])).fault).not.toBe(
      EnvelopeFault.NONE,
    )
    const deep = Buffer.concat([head, Buffer.alloc(10_000, 0x91), Buffer.of(0xc0)])
    expect(cutMsgpack(deep).fault).toBe(EnvelopeFault.NONE)
  })
})

test('random bytes end neither in an exception nor outside the frame', () => {
  const random = new Prng(SEED)
  const json = Buffer.from('{"seq":12,"data":{"a":[1,"b"]}}')
  const msgpack = Buffer.from(encode({ seq: 12, data: { a: [1, 'b'] } }))
  for (let round = 0; round < 20_000; round++) {
    const isJson = random.between(0, 1) === 0
    const bytes = Buffer.from(isJson ? json : msgpack)
    for (let i = random.between(1, 4); i > 0; i--)
      bytes[random.between(0, bytes.length - 1)] = random.between(0, 255)
    const cutter = isJson ? cutJsonEnvelope : cutMsgpackEnvelope
    if (cutter(bytes, 0, bytes.length, envelope) !== EnvelopeFault.NONE) continue
    expect(envelope.dataStart, `SEED=${SEED}`).toBeGreaterThan(0)
    expect(envelope.dataEnd).toBeGreaterThan(envelope.dataStart)
    expect(envelope.dataEnd).toBeLessThanOrEqual(bytes.length)
    expect(Number.isSafeInteger(envelope.seq) && envelope.seq >= 0).toBe(true)
  }
})

test('answers', () => {
  for (const seq of [0, 127, 128, 70_000, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
    expect(JSON.parse(jsonAck(seq))).toEqual({ ack: seq })
    expect(decode(msgpackAck(seq))).toEqual({ ack: seq })
  }
  expect(JSON.parse(jsonError('a "b"'))).toEqual({ error: 'a "b"' })
  expect(decode(msgpackError('a "b"'))).toEqual({ error: 'a "b"' })
  expect((decode(msgpackError('é'.repeat(500))) as { error: string }).error).toBe('é'.repeat(127))
})
