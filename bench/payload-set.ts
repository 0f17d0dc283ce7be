/**
 * Payloads for the benches of the scanners: back to back in shared memory, as in a ring, and each as a Buffer
 * of its own, as decoders of objects want them. Made from a seed.
 */
import { assert } from '../base/assert.ts'
import { Prng } from '../base/prng.ts'
import { ReadingColumns } from '../codecs/columns.ts'
import { MetricNames } from '../codecs/metric-names.ts'
import { PayloadScanner } from '../codecs/payload.ts'

/** As many distinct payloads as a branch predictor cannot learn by heart. */
export const PAYLOADS = 4096

export class PayloadSet {
  readonly buffers: Buffer[]
  readonly sizeBytesMean: number
  #shared: Uint8Array
  #starts = new Int32Array(PAYLOADS)
  #ends = new Int32Array(PAYLOADS)
  #columns = new ReadingColumns(PAYLOADS * 64)
  #scanner = new PayloadScanner(new MetricNames())

  constructor(make: (prng: Prng, index: number) => Uint8Array) {
    const prng = new Prng(2024)
    this.buffers = Array.from({ length: PAYLOADS }, (_, index) => Buffer.from(make(prng, index)))
    const sizeBytes = this.buffers.reduce((sum, buffer) => sum + buffer.length, 0)
    this.sizeBytesMean = sizeBytes / PAYLOADS
    this.#shared = new Uint8Array(new SharedArrayBuffer(sizeBytes + 64))
    let offset = 0
    this.buffers.forEach((buffer, index) => {
      this.#starts[index] = offset
      this.#shared.set(buffer, offset)
      offset += buffer.length
      this.#ends[index] = offset
    })
  }

  /**
   * Scans every payload once, each with the shape of the one before as its hint; the sum of the first values.
   */
  scan(): number {
    const columns = this.#columns
    const scanner = this.#scanner
    let hint = -1
    let sum = 0
    columns.clear()
    for (let index = 0; index < PAYLOADS; index++) {
      const row = columns.count
      const count = scanner.scan(this.#shared, this.#starts[index], this.#ends[index], columns, hint)
      assert(count > 0, 'a payload of the bench is refused')
      hint = scanner.repeatedShape
      sum += columns.value[row]
    }
    return sum
  }
}

export interface Sample {
  ts: number
  temp: number
  hum: number
  pressure: number
}

/** Three metrics and a time, with as many digits as sensors give. */
export function sample(prng: Prng): Sample {
  return {
    ts: 1_726_000_000_000 + prng.between(0, 1_000_000_000),
    temp: prng.between(-500, 3500) / 100,
    hum: prng.between(0, 1000) / 10,
    pressure: prng.between(96_000, 104_000) / 100,
  }
}
