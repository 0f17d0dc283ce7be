/**
 * Timing on a noisy machine, on tinybench. Candidates take turns, round by round, so that a slow spell hits
 * all of them; the figure is the lowest of the rounds' medians: noise only ever adds, and a median keeps one
 * lucky sample from winning. One owner: the process of the bench that runs.
 */
import { Bench as Tinybench } from 'tinybench'
import { assert } from '../base/assert.ts'
import type { BenchSize } from './bench.ts'

export interface CompareSettings {
  /**
   * How many operations one call of a candidate does. Let a call last 0.1 ms or more: the clock costs 45 ns.
   */
  operations: number
  size: BenchSize
}

interface Effort {
  rounds: number
  roundMs: number
  roundCallsMin: number
  warmupMs: number
}

const EFFORTS: Record<BenchSize, Effort> = {
  small: { rounds: 2, roundMs: 5, roundCallsMin: 2, warmupMs: 5 },
  full: { rounds: 9, roundMs: 120, roundCallsMin: 3, warmupMs: 400 },
}

/**
 * Wall nanoseconds per operation of each candidate; a candidate is synchronous and does `operations`
 * operations a call.
 */
export async function compare<Name extends string>(
  candidates: Record<Name, () => void>,
  settings: CompareSettings,
): Promise<Record<Name, number>> {
  const names = Object.keys(candidates) as Name[]
  const effort = EFFORTS[settings.size]
  const best = Object.fromEntries(names.map((name) => [name, Number.POSITIVE_INFINITY])) as Record<
    Name,
    number
  >
  for (let round = 0; round < effort.rounds; round++) {
    const bench = new Tinybench({
      time: effort.roundMs,
      iterations: effort.roundCallsMin,
      warmup: round === 0,
      warmupTime: effort.warmupMs,
      warmupIterations: effort.roundCallsMin,
      timestampProvider: 'hrtimeNow',
      throws: true,
    })
    for (const name of names) bench.add(name, candidates[name], { async: false })
    for (const task of await bench.run()) {
      const { result } = task
      assert(result.state === 'completed', `${task.name} did not complete`)
      const name = task.name as Name
      best[name] = Math.min(best[name], (result.latency.p50 * 1e6) / settings.operations)
    }
  }
  return best
}

export interface Cost {
  wallNs: number
  /**
   * User and system time of every thread of this process: compilers and collectors too, child processes not.
   */
  cpuNs: number
}

/**
 * What one run of `work` costs per operation. For what runs once or on several threads; trust `cpuNs` over
 * `wallNs`.
 */
export async function costOf(work: () => unknown, operations: number): Promise<Cost> {
  const cpuBefore = process.cpuUsage()
  const startNs = process.hrtime.bigint()
  await work()
  const wallNs = Number(process.hrtime.bigint() - startNs)
  const cpu = process.cpuUsage(cpuBefore)
  return { wallNs: wallNs / operations, cpuNs: ((cpu.user + cpu.system) * 1000) / operations }
}
