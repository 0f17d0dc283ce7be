import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { temporaryDirectory } from './engine-process.ts'
import { takeLock } from './file-lock.ts'

const directory = temporaryDirectory()
const path = join(directory.path, 'lock.db')

afterEach(() => directory.remove())

/** A process that holds the lock and lets nobody collect it. */
async function holder() {
  const module = new URL('./file-lock.ts', import.meta.url).href
  const script = `const { takeLock } = await import(${JSON.stringify(module)})
    console.log(takeLock(${JSON.stringify(path)}, 0) !== null)
    globalThis.gc()
    setInterval(() => {}, 1000)`
  const flags = ['--expose-gc', '--disable-warning=ExperimentalWarning', '--input-type=module']
  const child = spawn(process.execPath, [...flags, '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(child.stdout, 'data')
  expect(String(line)).toBe('true\n')
  return child
}

test('one process holds it; who waits gets it when that one dies, and may give it back', async () => {
  const child = await holder()
  expect(takeLock(path, 0)).toBe(null)
  setTimeout(() => child.kill('SIGKILL'), 50) // does not run before the wait below: a wait blocks
  expect(takeLock(path, 100)).toBe(null)
  await once(child, 'exit')
  const lock = takeLock(path, 0)
  expect(lock).not.toBe(null)
  lock?.release()
  const next = await holder()
  next.kill('SIGKILL')
  expect(takeLock(path, 10_000)).not.toBe(null)
})

test('a path that can not be a lock is said', () => {
  expect(() => takeLock(join(path, 'nowhere', 'lock.db'), 0)).toThrow(/unable to open/)
})
