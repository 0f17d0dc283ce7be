/** Detectors as users run them: an engine in its own process, episodes in `anomalies`, alerts as events, and a SIGKILL. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { parseAddress } from './address.ts'
import { MqttPublisher } from './audit/mqtt-publisher.ts'
import { EngineProcess, PATIENCE_MS, runMillrace, temporaryDirectory } from './engine-process.ts'

const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const CONFIG = `import { defineConfig, detect, tumbling } from '${new URL('./config.ts', import.meta.url).href}'
export default defineConfig({
  streams: [{
    name: 'plant', topic: 'plant/{device}',
    operators: [
      tumbling('1m'),
      detect('limits', { name: 'hot', metrics: ['temp*'], high: 80, hysteresis: 2, quiet: '10s' }),
      detect('adaptive'),
      detect('multivariate', { metrics: ['temperature', 'pressure'] }),
      detect('missing', { silence: '2s', metrics: ['beat'] }),
    ],
  }],
  windows: { latenessMs: 500, idleTimeoutMs: 1000 },
})
`

interface Episode {
  device: string
  metric: string
  detector: string
  raised: string
  cleared: string | null
  state: string
  severity: string
  score: number
  value: number
  expected_low: number | null
  expected_high: number | null
}

const EPISODES = `SELECT device, metric, detector, toString(raised) AS raised, toString(cleared) AS cleared, state, severity, score,
  value, expected_low, expected_high FROM millrace.anomalies_latest ORDER BY device, metric, detector, raised`

test('episodes are raised, survive a SIGKILL, and are cleared: one row each, one alert for each change', async () => {
  const directory = temporaryDirectory()
  cleanups.push(directory.remove)
  const config = join(directory.path, 'config.ts')
  writeFileSync(config, CONFIG)
  const checked = await runMillrace(['check', config])
  expect(checked.stdout).toMatch(/hot +limits +temp\*/)
  const engine = await EngineProcess.start([config, '--data', join(directory.path, 'data'), '--shards', '2'])
  cleanups.push(() => engine.kill())
  const address = parseAddress(engine.addresses.mqtt)
  if (address === null) throw new Error('no address')
  const publisher = async () => MqttPublisher.connect({ address, windowMax: 100, timeoutMs: PATIENCE_MS })

  // Three days of a reading a minute, and the last hour too hot.
  const startMs = Date.UTC(2026, 0, 1)
  const send = async (from: number, to: number, heatFrom: number, heatTo: number) => {
    const door = await publisher()
    const sent: Promise<number>[] = []
    for (let i = from; i < to; i++) {
      const noise = Math.sin(i * 12.9898) * 0.5
      const temperature = (i >= heatFrom && i < heatTo ? 90 : 20) + noise
      const payload = { ts: startMs + i * 60_000, temperature, pressure: 3 + noise / 10 }
      for (const device of ['d1', 'd2'])
        sent.push(door.publish(`plant/${device}`, Buffer.from(JSON.stringify(payload))))
    }
    await Promise.all(sent)
    await door.close()
  }
  await send(0, 4000, 3900, 5000)
  const found = (detector: string) => `SELECT toUInt32(count()) AS n FROM millrace.anomalies_latest
    WHERE detector = '${detector}' AND raised >= '2026-01-03 16:30:00'`
  const isTwo = ({ n }: { n: number }) => n === 2
  for (const detector of ['hot', 'adaptive', 'multivariate'])
    expect(await engine.queryUntil(found(detector), isTwo), detector).toEqual({ n: 2 })
  await engine.killEngine()
  await send(4000, 4400, 3900, 4100)
  const cleared = `SELECT toUInt32(countIf(state = 'cleared')) AS n FROM millrace.anomalies_latest WHERE detector = 'hot'`
  expect(await engine.queryUntil(cleared, isTwo)).toEqual({ n: 2 })

  const episodes = await engine.query<Episode>(EPISODES)
  const hot = episodes.filter(({ detector }) => detector === 'hot')
  const at = (i: number) => new Date(startMs + i * 60_000).toISOString().replace('T', ' ').replace('Z', '')
  expect(hot.map(({ device, raised }) => [device, raised])).toEqual([
    ['d1', at(3900)],
    ['d2', at(3900)],
  ])
  for (const episode of hot) {
    expect(episode).toMatchObject({ metric: 'temperature', state: 'cleared', expected_high: 80 })
    expect(episode.value).toBeGreaterThan(80)
    expect(episode.cleared?.slice(0, 19)).toBe(
      new Date(startMs + 4099 * 60_000 + 10_000).toISOString().slice(0, 19).replace('T', ' '),
    )
  }
  const adaptive = episodes.filter(({ detector, raised }) => detector === 'adaptive' && raised === at(3900))
  expect(adaptive.map(({ device }) => device)).toEqual(['d1', 'd2'])
  for (const { expected_high, score } of adaptive) {
    expect(expected_high).toBeLessThan(30)
    expect(score).toBeGreaterThanOrEqual(0.5)
  }
  // No row twice: a state of an episode has one version.
  const [{ n }] = await engine.query<{ n: number }>(
    `SELECT toUInt32(count() - uniqExact(device, metric, detector, raised, state, severity)) AS n FROM millrace.anomalies`,
  )
  expect(n).toBe(0)
  const alerts = engine.events.filter(({ event, detector }) => event === 'alert' && detector === 'hot')
  const names = new Set(
    alerts.map(({ device, state, raisedMs, severity }) => `${device} ${state} ${severity} ${raisedMs}`),
  )
  expect([...names].filter((name) => name.includes('raised')).length).toBe(2)
  expect([...names].filter((name) => name.includes('cleared')).length).toBe(2)
  const metrics = await (await fetch(`http://${engine.addresses.http}/metrics`)).text()
  expect(metrics).toMatch(/millrace_detected_series\{shard="\d"\} [1-9]/)
})

test('silence is told by time alone; an engine that is down tells none', async () => {
  const directory = temporaryDirectory()
  cleanups.push(directory.remove)
  const config = join(directory.path, 'config.ts')
  writeFileSync(config, CONFIG)
  const engine = await EngineProcess.start([config, '--data', join(directory.path, 'data'), '--shards', '1'])
  cleanups.push(() => engine.kill())
  const address = parseAddress(engine.addresses.mqtt)
  if (address === null) throw new Error('no address')
  const beats = async (device: string, count: number) => {
    const door = await MqttPublisher.connect({ address, windowMax: 10, timeoutMs: PATIENCE_MS })
    for (let i = 0; i < count; i++) {
      await door.publish(`plant/${device}`, Buffer.from('{"beat":1}'))
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    await door.close()
  }
  await beats('d1', 25)
  const raised = await engine.eventWhere('alert', ({ state }) => state === 'raised')
  expect(raised).toMatchObject({ stream: 'plant', device: 'd1', metric: 'beat', detector: 'missing' })
  expect(raised.value).toBeGreaterThanOrEqual(2)
  await beats('d2', 25)
  await engine.killEngine()
  await beats('d1', 25)
  await engine.eventWhere('alert', ({ device, state }) => device === 'd1' && state === 'cleared')
  await new Promise((resolve) => setTimeout(resolve, 5000))
  // d2 has a minute to come back.
  expect(engine.events.filter(({ event, device }) => event === 'alert' && device === 'd2')).toEqual([])
  // The alert leaves before the row is stored.
  const row = await engine.queryUntil<Episode>(`${EPISODES} LIMIT 1`, ({ state }) => state === 'cleared')
  expect(row).toMatchObject({
    device: 'd1',
    detector: 'missing',
    severity: 'major',
    expected_high: raised.value,
    state: 'cleared',
  })
  expect(row.raised < (row.cleared ?? '')).toBe(true)
})
