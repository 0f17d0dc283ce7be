/**
 * JSON payloads to columns, against JSON.parse of the same bytes (which still has to be taken apart then).
 * Shapes are learned in the warm-up, but a hint is only right where the shapes are equal.
 */
import { assert } from '../base/assert.ts'
import type { Prng } from '../base/prng.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'
import { compare } from './harness.ts'
import { PAYLOADS, PayloadSet, sample } from './payload-set.ts'

interface Case {
  name: string
  make(prng: Prng): unknown
  /** The first value of a decoded payload, as the scan sums it. */
  first(decoded: never): number
  atMostNs?: number
  atLeastTimes?: number
}

/** Three values under names that change from payload to payload: 64 shapes at random. */
function shuffled(prng: Prng): unknown {
  const kind = prng.between(0, 63)
  return { [`temp${kind}`]: prng.between(0, 1000) / 10, [`hum${kind}`]: prng.between(0, 100), ok: kind < 32 }
}

const CASES: Case[] = [
  {
    name: 'three metrics and a time',
    make: sample,
    first: (decoded: { temp: number }) => decoded.temp,
    atMostNs: 120,
    atLeastTimes: 3,
  },
  {
    name: 'three metrics of 15 to 17 digits and a time',
    make: (prng) => ({ ts: sample(prng).ts, a: prng.unit() * 100, b: prng.unit() / 3, c: prng.normal() / 7 }),
    first: (decoded: { a: number }) => decoded.a,
  },
  {
    name: 'ISO time, number, text and boolean',
    make: (prng) => ({
      time: new Date(sample(prng).ts).toISOString(),
      temp: sample(prng).temp,
      state: prng.unit() < 0.5 ? 'running' : 'idle',
      ok: prng.unit() < 0.9,
    }),
    first: (decoded: { temp: number }) => decoded.temp,
  },
  {
    name: 'ten objects of three metrics and a time',
    make: (prng) => Array.from({ length: 10 }, () => sample(prng)),
    first: (decoded: { temp: number }[]) => decoded[0].temp,
  },
  {
    name: 'three values, one of 64 shapes at random',
    make: shuffled,
    first: (decoded: Record<string, number>) => Object.values(decoded)[0],
  },
]

async function measure(item: Case, size: BenchSize): Promise<Measure[]> {
  const set = new PayloadSet((prng) => Buffer.from(JSON.stringify(item.make(prng))))
  let sum = 0
  const ns = await compare(
    {
      scan: () => {
        sum += set.scan()
      },
      parse: () => {
        for (const buffer of set.buffers) sum += item.first(JSON.parse(buffer.toString('latin1')) as never)
      },
    },
    { operations: PAYLOADS, size },
  )
  assert(Number.isFinite(sum), 'a value went wrong')
  const name = `${item.name} (${set.sizeBytesMean.toFixed(0)} bytes)`
  return [
    { name, value: ns.scan, unit: 'ns/payload', atMost: item.atMostNs },
    { name, value: ns.parse / ns.scan, unit: 'times faster than JSON.parse', atLeast: item.atLeastTimes },
  ]
}

export const bench: Bench = {
  name: 'json',
  about: 'JSON payloads to columns',
  async run(size) {
    const measures: Measure[] = []
    for (const item of CASES) measures.push(...(await measure(item, size)))
    return measures
  },
}
