/**
 * The process of one bench: `child.ts NAME SIZE`, forked by `catalogue.ts`; one report over the channel, then
 * exit.
 */
import { assert } from '../base/assert.ts'
import type { Bench, BenchSize } from './bench.ts'
import type { ChildReport } from './catalogue.ts'

async function report(name: string, size: BenchSize): Promise<ChildReport> {
  try {
    const { bench } = (await import(`./${name}.ts`)) as { bench: Bench }
    assert(bench.name === name, `bench/${name}.ts calls itself ${bench.name}`)
    return { about: bench.about, measures: await bench.run(size) }
  } catch (error) {
    return { fault: error instanceof Error ? (error.stack ?? error.message) : String(error) }
  }
}

const [, , name, size] = process.argv
const result = await report(name, size as BenchSize)
process.send?.(result, () => process.exit(0))
