/** /readyz: why an engine takes nothing, while it takes nothing. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import mqtt from 'mqtt'
import { afterEach, expect, test } from 'vitest'
import { EngineProcess, temporaryDirectory } from './engine-process.ts'

const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** Loaded into each thread before its program: `writevSync` and `fdatasync` of the file system, with faults as long as there is a file. */
function faultyDisk(directory: string): string {
  const fault = (name: string, code: string) =>
    `if (fs.existsSync(${JSON.stringify(join(directory, name))})) throw new Error('${code}')`
  return `import fs from 'node:fs'
    import { isMainThread } from 'node:worker_threads'
    import { syncBuiltinESMExports } from 'node:module'
    const { writevSync, fdatasync } = fs
    fs.writevSync = (...args) => {
      ${fault('write', 'ENOSPC: no space left')}
      return writevSync(...args)
    }
    fs.fdatasync = (descriptor, done) => {
      try {
        ${fault('sync', 'EIO: i/o error')}
        fdatasync(descriptor, done)
      } catch (error) {
        setImmediate(done, error)
      }
    }
    if (!isMainThread) syncBuiltinESMExports()`
}

async function readiness(engine: EngineProcess): Promise<string> {
  const response = await fetch(`http://${engine.addresses.http}/readyz`)
  return `${response.status} ${await response.text()}`
}

test.each([
  ['write', "the journal can't be written (ENOSPC: no space left); nothing is acknowledged until it can"],
  ['sync', "the journal can't be synced (EIO: i/o error); nothing is acknowledged until it can"],
])('not ready while the disk fails to %s', async (call, reason) => {
  const { path, remove } = temporaryDirectory()
  cleanups.push(remove)
  const preload = join(path, 'preload.mjs')
  writeFileSync(preload, faultyDisk(path))
  const env = { NODE_OPTIONS: `--import=${pathToFileURL(preload).href}` }
  const engine = await EngineProcess.start(['--data', join(path, 'data'), '--shards', '1'], env)
  cleanups.push(() => engine.kill())
  const client = await mqtt.connectAsync(`mqtt://${engine.addresses.mqtt}`)
  cleanups.push(() => client.end(true))
  expect(await readiness(engine)).toBe('200 ready\n')
  writeFileSync(join(path, call), '')
  const acknowledged = client.publishAsync('devices/d/telemetry', '{"a":1}', { qos: 1 })
  await engine.event('fault')
  expect(await readiness(engine)).toBe(`503 ${reason}\n`)
  rmSync(join(path, call))
  await acknowledged
  await engine.eventWhere('fault', ({ isOver }) => isOver === true)
  expect(await readiness(engine)).toBe('200 ready\n')
})

test('not ready while the journal is full, with what ClickHouse has to do with it', async () => {
  const { path, remove } = temporaryDirectory()
  cleanups.push(remove)
  const small = ['--shards', '1', '--journal-max', '64M', '--clickhouse', 'http://127.0.0.1:1']
  const engine = await EngineProcess.start(['--data', path, ...small])
  cleanups.push(() => engine.kill())
  const client = await mqtt.connectAsync(`mqtt://${engine.addresses.mqtt}`)
  cleanups.push(() => client.end(true))
  const payload = Buffer.alloc(1_000_000, 'x')
  for (let i = 0; i < 80; i++) client.publish('devices/d/telemetry', payload, { qos: 1 })
  await engine.eventWhere('status', ({ isJournalFull }) => isJournalFull === true)
  expect(await readiness(engine)).toMatch(
    /^503 the journal is full: ClickHouse takes no rows \(.*cannot be reached \(ECONNREFUSED\).*\)\n$/,
  )
})
