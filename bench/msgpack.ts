/**
 * MessagePack payloads to columns, against msgpackr and @msgpack/msgpack, which make objects of the same
 * bytes.
 */
import { decode, encode } from '@msgpack/msgpack'
import { Packr } from 'msgpackr'
import { assert } from '../base/assert.ts'
import type { Prng } from '../base/prng.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'
import { compare } from './harness.ts'
import { PAYLOADS, PayloadSet, type Sample, sample } from './payload-set.ts'

interface Case {
  name: string
  make(prng: Prng): Sample | Sample[]
  atLeastTimes?: number
}

const CASES: Case[] = [
  { name: 'three metrics and a time', make: sample, atLeastTimes: 1 },
  {
    name: 'ten objects of three metrics and a time',
    make: (prng) => Array.from({ length: 10 }, () => sample(prng)),
  },
]

function first(decoded: Sample | Sample[]): number {
  return Array.isArray(decoded) ? decoded[0].temp : decoded.temp
}

async function measure(item: Case, size: BenchSize): Promise<Measure[]> {
  const set = new PayloadSet((prng) => encode(item.make(prng)))
  const packr = new Packr({ useRecords: false })
  let sum = 0
  const ns = await compare(
    {
      scan: () => {
        sum += set.scan()
      },
      msgpackr: () => {
        for (const buffer of set.buffers) sum += first(packr.unpack(buffer))
      },
      msgpack: () => {
        for (const buffer of set.buffers) sum += first(decode(buffer) as Sample | Sample[])
      },
    },
    { operations: PAYLOADS, size },
  )
  assert(Number.isFinite(sum), 'a value went wrong')
  const name = `${item.name} (${set.sizeBytesMean.toFixed(0)} bytes)`
  return [
    { name, value: ns.scan, unit: 'ns/payload' },
    { name, value: ns.msgpackr / ns.scan, unit: 'times faster than msgpackr', atLeast: item.atLeastTimes },
    { name, value: ns.msgpack / ns.scan, unit: 'times faster than @msgpack/msgpack' },
  ]
}

export const bench: Bench = {
  name: 'msgpack',
  about: 'MessagePack payloads to columns',
  async run(size) {
    const measures: Measure[] = []
    for (const item of CASES) measures.push(...(await measure(item, size)))
    return measures
  },
}
