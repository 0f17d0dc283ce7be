/**
 * The two HTTP ports under autocannon, 10 connections: what a monitoring system and a dashboard would ask, and whether
 * asking it hard delays a PUBACK. The engine runs as its users start it.
 */
import autocannon from 'autocannon'
import { runLoad } from '../loadgen/load.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'
import { startEngine, stopEngine } from './engine-under-test.ts'

const CONNECTIONS = 10
const QUERY = 'SELECT metric, count(), avg(value) FROM millrace.samples GROUP BY metric'
/** Messages/s of the devices beside the queries. */
const RATE = 2000

interface Target {
  name: string
  url: string
  body?: string
}

async function shoot({ url, body }: Target, seconds: number): Promise<autocannon.Result> {
  const method = body === undefined ? 'GET' : 'POST'
  const result = await autocannon({ url, method, body, connections: CONNECTIONS, duration: seconds })
  if (result.non2xx > 0 || result.errors > 0)
    throw new Error(`${url}: ${result.non2xx} refusals, ${result.errors} errors`)
  return result
}

async function run(size: BenchSize): Promise<Measure[]> {
  const seconds = size === 'full' ? 5 : 1
  const engine = await startEngine()
  try {
    const address = { host: '127.0.0.1', port: engine.mqttPort }
    const load = (rate: number) =>
      runLoad({ address, connections: 10, perWrite: 1, metrics: 2, qos: 1, rate, messages: rate * seconds })
    const quiet = await load(RATE)
    const targets: Target[] = [
      { name: '/healthz', url: new URL('/healthz', engine.metricsUrl).href },
      { name: '/metrics', url: engine.metricsUrl },
      { name: 'an aggregate over samples', url: engine.storeUrl, body: QUERY },
    ]
    const measures: Measure[] = []
    let busyP99Ms = 0
    for (const target of targets) {
      const [result, busy] = await Promise.all([shoot(target, seconds), load(RATE)])
      measures.push({ name: target.name, value: result.requests.average, unit: 'requests/s' })
      measures.push({
        name: `${target.name}, 99th percentile`,
        value: Math.max(result.latency.p99, 0.5),
        unit: 'ms',
      })
      busyP99Ms = busy.report.latency.p99Ms
    }
    measures.push({
      name: 'PUBACK 99th percentile, nobody asking',
      value: quiet.report.latency.p99Ms,
      unit: 'ms',
    })
    measures.push({ name: 'PUBACK 99th percentile, beside the aggregates', value: busyP99Ms, unit: 'ms' })
    return measures
  } finally {
    await stopEngine(engine)
  }
}

export const bench: Bench = {
  name: 'http',
  about: 'health, metrics and SQL under 10 connections of autocannon, beside 2,000 messages/s at QoS 1',
  run,
}
