/**
 * PUBACK latency at parts of the highest rate, as devices see it: the load generator finds the highest rate flat out,
 * then publishes at a fixed one, and a latency counts from when a message was due. Between the rounds that are judged
 * a bare loop of fdatasync shows what the file system takes, in the same minute and on the same machine.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { LatencySummary } from '../loadgen/latency.ts'
import { type LoadReport, runLoad } from '../loadgen/load.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'
import { type EngineUnderTest, readMetrics, startEngine, stopEngine } from './engine-under-test.ts'
import { type SyncLoad, timeSyncs } from './sync-peer.ts'

const SHAPE = { connections: 100, window: 100, perWrite: 10, metrics: 2, qos: 1, devices: 10_000 } as const
const PERCENTS = [10, 50, 90]
/** Beyond half the rate on a machine that the generator shares, waiting for a processor is what is measured. */
const JUDGED_PERCENT_MAX = 50
/** A record's header and padding, less the MQTT header and packet identifier that it replaces. */
const RECORD_OVERHEAD_BYTES = 38
const BACKLOG_WAIT_MS = 20_000
const BATCH_SIZE_BYTES_MAX = 1 << 20

interface Effort {
  warmupMs: number
  flatOutMs: number
  rounds: number
  roundMs: number
  peerMs: number
  /** How old the figures at /metrics may be. */
  metricsAgeMs: number
}

const EFFORTS: Record<BenchSize, Effort> = {
  small: { warmupMs: 100, flatOutMs: 200, rounds: 1, roundMs: 200, peerMs: 100, metricsAgeMs: 1 },
  full: { warmupMs: 4000, flatOutMs: 8000, rounds: 3, roundMs: 8000, peerMs: 4000, metricsAgeMs: 1100 },
}

interface Round {
  latency: LatencySummary
  syncLoad: SyncLoad
}

/** What the fdatasync loop showed around a round. */
interface Peer {
  p50Ms: number
  p99Ms: number
}

async function total(engine: EngineUnderTest, family: string): Promise<number> {
  let sum = 0
  for (const value of (await readMetrics(engine, family)).values()) sum += value
  return sum
}

/** What earlier rounds left is stored, and the figures at /metrics are of now. */
async function settle(engine: EngineUnderTest, { metricsAgeMs }: Effort): Promise<void> {
  const deadlineMs = performance.now() + BACKLOG_WAIT_MS
  do await sleep(metricsAgeMs)
  while ((await total(engine, 'millrace_backlog_bytes')) > 0 && performance.now() < deadlineMs)
}

async function publish(engine: EngineUnderTest, rate: number, durationMs: number): Promise<LoadReport> {
  const address = { host: '127.0.0.1', port: engine.mqttPort }
  const { report } = await runLoad({ ...SHAPE, address, rate, durationMs })
  const { sent, acknowledged } = report.counters
  if (acknowledged !== sent) throw new Error(`${acknowledged} of ${sent} messages were acknowledged`)
  return report
}

async function runRound(engine: EngineUnderTest, rate: number, effort: Effort): Promise<Round> {
  await settle(engine, effort)
  const families = ['millrace_journal_syncs_total', 'millrace_received_bytes_total']
  const before = await Promise.all(families.map((family) => total(engine, family)))
  const report = await publish(engine, rate, effort.roundMs)
  await sleep(effort.metricsAgeMs)
  const after = await Promise.all(families.map((family) => total(engine, family)))
  const syncs = Math.max(1, after[0] - before[0])
  const sizeBytes = after[1] - before[1] + report.counters.acknowledged * RECORD_OVERHEAD_BYTES
  const batchSizeBytes = Math.min(BATCH_SIZE_BYTES_MAX, Math.ceil(sizeBytes / syncs))
  return { latency: report.latency, syncLoad: { batchSizeBytes, syncsPerS: syncs / report.seconds } }
}

/** Rounds at the judged rate, the fdatasync loop before and after each; of both sides the slower one is kept. */
async function runJudged(engine: EngineUnderTest, rate: number, effort: Effort) {
  const rounds: Round[] = []
  const peers: Peer[] = []
  const { syncLoad } = await runRound(engine, rate, effort)
  await settle(engine, effort)
  let before = await timeSyncs(engine.dataPath, syncLoad, effort.peerMs)
  for (let count = 0; count < effort.rounds; count++) {
    const round = await runRound(engine, rate, effort)
    await settle(engine, effort)
    const after = await timeSyncs(engine.dataPath, round.syncLoad, effort.peerMs)
    rounds.push(round)
    peers.push({
      p50Ms: Math.max(before.p50Ms, after.p50Ms),
      p99Ms: Math.max(before.p99Ms, after.p99Ms),
    })
    before = after
  }
  return { rounds, peers }
}

function median<T>(entries: readonly T[], figure: (entry: T) => number): number {
  return entries.map(figure).toSorted((a, b) => a - b)[entries.length >>> 1]
}

function latencyMeasures(
  percent: number,
  rounds: readonly Round[],
  limit: { atMost?: number } = {},
): Measure[] {
  const at = `PUBACK at ${percent} %`
  return [
    { name: `${at}, median`, value: median(rounds, ({ latency }) => latency.p50Ms), unit: 'ms' },
    { name: `${at}, p99`, value: median(rounds, ({ latency }) => latency.p99Ms), unit: 'ms', ...limit },
    { name: `${at}, p99.9`, value: median(rounds, ({ latency }) => latency.p999Ms), unit: 'ms' },
  ]
}

function judgedMeasures(percent: number, rounds: readonly Round[], peers: readonly Peer[]): Measure[] {
  const bareMs = median(peers, ({ p99Ms }) => p99Ms)
  const batchSizeBytes = median(rounds, ({ syncLoad }) => syncLoad.batchSizeBytes)
  const syncsPerS = median(rounds, ({ syncLoad }) => syncLoad.syncsPerS)
  return [
    ...latencyMeasures(percent, rounds, { atMost: 3 * bareMs + 3 }),
    { name: `syncs of the engine at ${percent} %`, value: syncsPerS, unit: 'syncs/s' },
    { name: `journal bytes of one sync at ${percent} %`, value: batchSizeBytes, unit: 'bytes' },
    {
      name: 'bare fdatasync of as much as often, median',
      value: median(peers, ({ p50Ms }) => p50Ms),
      unit: 'ms',
    },
    { name: 'bare fdatasync of as much as often, p99', value: bareMs, unit: 'ms' },
  ]
}

async function run(size: BenchSize): Promise<Measure[]> {
  const effort = EFFORTS[size]
  const engine = await startEngine()
  try {
    await publish(engine, 0, effort.warmupMs)
    await settle(engine, effort)
    const { messagesPerS } = await publish(engine, 0, effort.flatOutMs)
    const measures: Measure[] = [{ name: 'highest rate', value: messagesPerS, unit: 'messages/s' }]
    for (const percent of PERCENTS) {
      const rate = (messagesPerS * percent) / 100
      if (percent <= JUDGED_PERCENT_MAX) {
        const { rounds, peers } = await runJudged(engine, rate, effort)
        measures.push(...judgedMeasures(percent, rounds, peers))
        continue
      }
      const rounds: Round[] = []
      while (rounds.length < effort.rounds) rounds.push(await runRound(engine, rate, effort))
      measures.push(...latencyMeasures(percent, rounds))
    }
    return measures
  } finally {
    await stopEngine(engine)
  }
}

export const bench: Bench = {
  name: 'latency',
  about:
    'PUBACK at QoS 1 at parts of the highest rate: 100 connections, 10 a write, medians of rounds; the generator shares ' +
    "the engine's cores, and its delays count; a bare fdatasync loop before and after each judged round, the slower one",
  run,
}
