import { describe, expect, test } from 'vitest'
import { AssertionError } from '../base/assert.ts'
import { Prng } from '../base/prng.ts'
import { StateReader, StateWriter } from './state.ts'

function imageOf(write: (out: StateWriter) => void): Uint8Array {
  const out = new StateWriter()
  write(out)
  const image = Uint8Array.from(Buffer.concat(out.parts))
  expect(image.length).toBe(out.sizeBytes)
  expect(image.length % 8).toBe(0)
  return image
}

const fillRandom = (array: Uint8Array | Uint16Array | Int32Array | Float64Array, prng: Prng): void => {
  const bytes = new Uint8Array(array.buffer)
  for (let i = 0; i < bytes.length; i++) bytes[i] = prng.u32()
}

const KINDS = {
  u8: [Uint8Array, 1],
  u16: [Uint16Array, 2],
  i32: [Int32Array, 3],
  f64: [Float64Array, 4],
} as const
const KIND_NAMES = ['u8', 'u16', 'i32', 'f64'] as const
type Kind = (typeof KIND_NAMES)[number]

interface Section {
  kind: Kind
  array: Uint8Array | Uint16Array | Int32Array | Float64Array
  count: number
}

function makeSection(kind: Kind, size: number, count: number, prng: Prng): Section {
  const array = new KINDS[kind][0](size)
  fillRandom(array, prng)
  return { kind, array, count }
}

function writeSection(out: StateWriter, { kind, array, count }: Section): void {
  if (kind === 'u8') out.u8(array as Uint8Array, count)
  else if (kind === 'u16') out.u16(array as Uint16Array, count)
  else if (kind === 'i32') out.i32(array as Int32Array, count)
  else out.f64(array as Float64Array, count)
}

/** Compared as bytes: -0 and the payloads of NaN are state too. */
const bytesOf = (array: Section['array'], count = array.length) =>
  Buffer.from(array.buffer, array.byteOffset, count * array.BYTES_PER_ELEMENT)

describe('what was written is read', () => {
  test.each(KIND_NAMES)('%s, of any size and any part of it', (kind) => {
    const prng = new Prng(1)
    for (let size = 0; size < 40; size++) {
      for (const count of new Set([0, 1, size >> 1, size])) {
        if (count > size) continue
        const section = makeSection(kind, size, count, prng)
        const from = new StateReader(imageOf((out) => writeSection(out, section)))
        const got = from[kind]()
        expect(got.length).toBe(count)
        expect(bytesOf(got).equals(bytesOf(section.array, count)), `${count} of ${size}`).toBe(true)
        expect(from.isAtEnd).toBe(true)
      }
    }
  })

  test('many sections, one after another', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const prng = new Prng(seed)
      const sections = Array.from({ length: prng.between(0, 20) }, () => {
        const size = prng.unit() < 0.05 ? prng.between(0, 20_000) : prng.between(0, 12)
        return makeSection(KIND_NAMES[prng.between(0, 3)], size, prng.between(0, size), prng)
      })
      const image = imageOf((out) => {
        for (const section of sections) writeSection(out, section)
      })
      const from = new StateReader(image)
      for (const { kind, array, count } of sections) {
        expect(from.isAtEnd).toBe(false)
        expect(bytesOf(from[kind]()).equals(bytesOf(array, count)), `seed ${seed}`).toBe(true)
      }
      expect(from.isAtEnd, `seed ${seed}`).toBe(true)
    }
  })

  test('numbers, odd ones too', () => {
    const values = [0, -0, 1.5, -1e308, 5e-324, Infinity, -Infinity, Number.NaN, 2 ** 53]
    const from = new StateReader(imageOf((out) => out.numbers(...values)))
    expect([...from.numbers(values.length)]).toEqual(values)
    const none = new StateReader(imageOf((out) => out.numbers()))
    expect(none.numbers(0)).toHaveLength(0)
    expect(none.isAtEnd).toBe(true)
  })

  test('views with an offset of their own', () => {
    const whole = Int32Array.from({ length: 10 }, (_, index) => index)
    const from = new StateReader(imageOf((out) => out.i32(whole.subarray(3, 9), 4)))
    expect([...from.i32()]).toEqual([3, 4, 5, 6])
  })

  test('an image that begins amid its buffer', () => {
    const image = imageOf((out) => out.u16(Uint16Array.of(7, 8, 9)))
    const buffer = new Uint8Array(image.length + 24)
    buffer.set(image, 16)
    const from = new StateReader(buffer.subarray(16, 16 + image.length))
    expect([...from.u16()]).toEqual([7, 8, 9])
    expect(from.isAtEnd).toBe(true)
  })
})

test('the layout is the documented one', () => {
  const image = imageOf((out) => {
    out.i32(Int32Array.of(-2, 3, 4))
    out.numbers(1)
  })
  expect(Buffer.from(image).toString('hex').match(/.{16}/g)).toEqual([
    '0300000000000000', // type
    '0000000000002840', // 12 bytes
    'feffffff03000000',
    '0400000000000000', // padded
    '0400000000000000',
    '0000000000002040', // 8 bytes
    '000000000000f03f',
  ])
})

test('a writer takes views, and numbers by value; what is read belongs to the reader', () => {
  const array = Float64Array.of(1, 2)
  const out = new StateWriter()
  out.f64(array)
  const numbers = [5]
  out.numbers(...numbers)
  array[1] = 20
  numbers[0] = 50
  const image = Uint8Array.from(Buffer.concat(out.parts))
  const got = new StateReader(image).f64()
  expect([...got]).toEqual([1, 20])
  got[0] = 9
  const from = new StateReader(image)
  expect([...from.f64()]).toEqual([1, 20])
  expect([...from.numbers(1)]).toEqual([5])
})

describe('misuse is refused:', () => {
  test.each(KIND_NAMES)('%s, read as another type', (kind) => {
    const image = imageOf((out) => writeSection(out, makeSection(kind, 8, 8, new Prng(3))))
    for (const other of KIND_NAMES) {
      if (other === kind) continue
      expect(() => new StateReader(image)[other](), other).toThrow('another type')
    }
  })

  test('another number of numbers', () => {
    const image = imageOf((out) => out.numbers(1, 2))
    for (const count of [0, 1, 3]) {
      expect(() => new StateReader(image).numbers(count)).toThrow('another number of values')
    }
  })

  test('reading past the end, and an image cut at whatever byte', () => {
    const image = imageOf((out) => {
      out.u8(Uint8Array.of(1, 2, 3))
      out.f64(Float64Array.of(4, 5))
    })
    const read = (bytes: Uint8Array) => {
      const from = new StateReader(bytes)
      from.u8()
      from.f64()
      return from
    }
    const from = read(image)
    expect(from.isAtEnd).toBe(true)
    expect(() => from.f64()).toThrow('ends early')
    for (let size = 0; size < image.length; size++) {
      expect(() => read(image.slice(0, size)), `${size} bytes`).toThrow(AssertionError)
    }
    expect(() => new StateReader(new Uint8Array(0)).u8()).toThrow('ends early')
  })

  test.each([-1, Number.NaN, Infinity, 1e300])('a size of %s', (size) => {
    const image = imageOf((out) => out.f64(Float64Array.of(4, 5)))
    new Float64Array(image.buffer)[1] = size
    expect(() => new StateReader(image).f64()).toThrow('ends early')
  })

  test('an image that is not aligned', () => {
    expect(() => new StateReader(new Uint8Array(64).subarray(4))).toThrow('aligned')
  })
})

test('no part is empty: a checksum over parts would begin anew there', () => {
  const out = new StateWriter()
  out.f64(new Float64Array(0))
  out.u8(Uint8Array.of(1))
  out.i32(new Int32Array(4), 0)
  expect(out.parts.every(({ length }) => length > 0)).toBe(true)
})
