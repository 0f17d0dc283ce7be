/**
 * One device that wants to send a thousand times what it may, and the others: rounds with it and without it
 * take turns, and the others' PUBACKs are compared. The generators share the engine's cores.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type LoadReport, runLoad } from '../loadgen/load.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'
import { type EngineUnderTest, readMetrics, startEngine, stopEngine } from './engine-under-test.ts'
import type { GreedyReport, GreedyRequest } from './greedy-device.ts'

const BUDGET_PER_S = 200
const WANTED_PER_S = 1000 * BUDGET_PER_S
const OTHERS = {
  connections: 20,
  devices: 20,
  window: 100,
  perWrite: 1,
  metrics: 2,
  qos: 1,
  rate: 1000,
} as const
const RATIO_MAX = 1.5
/** How old figures at /metrics may be. */
const METRICS_AGE_MS = 1100

const EFFORTS: Record<BenchSize, { rounds: number; roundMs: number }> = {
  small: { rounds: 1, roundMs: 300 },
  full: { rounds: 5, roundMs: 3000 },
}

interface Round {
  others: LoadReport
  /** Messages a second of the greedy device: that it sent, and that the engine read. */
  sentPerS: number
  readPerS: number
}

async function messagesRead(engine: EngineUnderTest): Promise<number> {
  await sleep(METRICS_AGE_MS)
  const counts = await readMetrics(engine, 'millrace_received_messages_total')
  return [...counts].reduce((sum, [labels, count]) => sum + (labels.includes('qos="0"') ? count : 0), 0)
}

async function publishOthers(engine: EngineUnderTest, roundMs: number): Promise<LoadReport> {
  const address = { host: '127.0.0.1', port: engine.mqttPort }
  const { report } = await runLoad({ ...OTHERS, address, durationMs: roundMs })
  const { sent, acknowledged } = report.counters
  if (acknowledged !== sent)
    throw new Error(`${acknowledged} of ${sent} messages of others were acknowledged`)
  return report
}

async function runRound(
  engine: EngineUnderTest,
  greedy: ChildProcess | null,
  roundMs: number,
): Promise<Round> {
  const ask = (messagesPerS: number) => {
    greedy?.send({ port: engine.mqttPort, messagesPerS } satisfies GreedyRequest)
  }
  const before = await messagesRead(engine)
  const startMs = performance.now()
  ask(WANTED_PER_S)
  const others = await publishOthers(engine, roundMs)
  const seconds = (performance.now() - startMs) / 1000
  ask(0)
  const sent = greedy === null ? 0 : ((await once(greedy, 'message')) as [GreedyReport])[0].sent
  return { others, sentPerS: sent / seconds, readPerS: ((await messagesRead(engine)) - before) / seconds }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >>> 1]
}

async function run(size: BenchSize): Promise<Measure[]> {
  const { rounds, roundMs } = EFFORTS[size]
  const directory = mkdtempSync(join(tmpdir(), 'millrace-budget-'))
  const config = join(directory, 'millrace.config.ts')
  writeFileSync(config, `export default { limits: { deviceMessagesPerSMax: ${BUDGET_PER_S} } }\n`)
  const engine = await startEngine(tmpdir(), [config])
  const greedy = fork(`${import.meta.dirname}/greedy-device.ts`, { stdio: ['ignore', 2, 2, 'ipc'] })
  try {
    await publishOthers(engine, roundMs)
    const quiet: Round[] = []
    const loud: Round[] = []
    while (loud.length < rounds) {
      quiet.push(await runRound(engine, null, roundMs))
      loud.push(await runRound(engine, greedy, roundMs))
    }
    const p50 = (all: readonly Round[]) => median(all.map(({ others }) => others.latency.p50Ms))
    const p99 = (all: readonly Round[]) => median(all.map(({ others }) => others.latency.p99Ms))
    return [
      { name: 'PUBACK of others without the greedy device, p50', value: p50(quiet), unit: 'ms' },
      { name: 'with it, p50', value: p50(loud), unit: 'ms' },
      { name: 'PUBACK of others without the greedy device, p99', value: p99(quiet), unit: 'ms' },
      { name: 'with it, p99', value: p99(loud), unit: 'ms' },
      {
        name: 'p99 with it to p99 without it',
        value: p99(loud) / p99(quiet),
        unit: 'times',
        atMost: RATIO_MAX,
      },
      {
        name: 'what the greedy device sent',
        value: median(loud.map(({ sentPerS }) => sentPerS)),
        unit: 'messages/s',
      },
      {
        name: 'what was read of it',
        value: median(loud.map(({ readPerS }) => readPerS)),
        unit: 'messages/s',
      },
    ]
  } finally {
    greedy.disconnect()
    await stopEngine(engine)
    rmSync(directory, { recursive: true, force: true })
  }
}

export const bench: Bench = {
  name: 'budget',
  about: `others' PUBACKs while one device wants ${WANTED_PER_S} messages/s and may send ${BUDGET_PER_S}; medians of rounds in turns`,
  run,
}
