/**
 * What a benchmark is. Each has a file of its own here, found by `catalogue.ts`, and runs small inside the
 * tests.
 */

export type BenchSize = 'small' | 'full'

/** One figure. With a limit, `npm run bench` marks it when it is missed; small sizes are never judged. */
export interface Measure {
  name: string
  value: number
  /** As printed: `ns/packet`, `readings/s`, `times faster than mqtt-packet`. */
  unit: string
  atMost?: number
  atLeast?: number
}

export interface Bench {
  /** The word that selects it on the command line: `npm run bench -- framing`. */
  name: string
  about: string
  run(size: BenchSize): Promise<Measure[]>
}
