/** For benches: an engine as its users start it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export interface EngineUnderTest {
  /** The supervisor. */
  process: ChildProcess
  dataPath: string
  /** Of the engine, whose child is the store. */
  enginePid: number
  mqttPort: number
  storeUrl: string
  metricsUrl: string
}

/** On free ports, with data of its own in a new directory under `parent`, and with `more` on its command line. */
export async function startEngine(parent = tmpdir(), more: readonly string[] = []): Promise<EngineUnderTest> {
  const dataPath = mkdtempSync(join(parent, 'millrace-bench-'))
  const cli = join(import.meta.dirname, '..', 'engine', 'cli.ts')
  const listeners = ['--mqtt', '--ws', '--http', '--store'].flatMap((name) => [name, '127.0.0.1:0'])
  const child = spawn(process.execPath, [cli, 'start', '--json', '--data', dataPath, ...listeners, ...more], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })
  const ready = Promise.withResolvers<Record<string, string>>()
  lines.on('line', (line) => {
    const event = JSON.parse(line)
    if (event.event === 'ready') ready.resolve(event)
  })
  child.on('exit', (code) => ready.reject(new Error(`the engine left with code ${code}`)))
  const event = await ready.promise
  const mqttPort = Number(event.mqtt.split(':').at(-1))
  const storeUrl = `http://${event.store}/`
  return {
    process: child,
    dataPath,
    enginePid: Number(event.enginePid),
    mqttPort,
    storeUrl,
    metricsUrl: `http://${event.http}/metrics`,
  }
}

/** The samples of one family at /metrics, at most a second old: each value by its labels, as they are written. */
export async function readMetrics(engine: EngineUnderTest, family: string): Promise<Map<string, number>> {
  const text = await (await fetch(engine.metricsUrl)).text()
  const samples = new Map<string, number>()
  for (const line of text.split('\n')) {
    const [, name, labels, value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
    if (name === family) samples.set(labels ?? '', Number(value))
  }
  return samples
}

/** Drains it and removes its data. */
export async function stopEngine(engine: EngineUnderTest): Promise<void> {
  if (engine.process.exitCode === null) {
    engine.process.kill('SIGTERM')
    await once(engine.process, 'exit')
  }
  rmSync(engine.dataPath, { recursive: true, force: true })
}
