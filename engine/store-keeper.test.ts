/** The store child as the engine keeps it: what `stop` leaves behind, and what is said of a server's troubles. */
import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import type { Fault } from './engine-messages.ts'
import { temporaryDirectory } from './engine-process.ts'
import { StoreKeeper, type StoreKeeperSettings } from './store-keeper.ts'

const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function newKeeper(settings: Partial<StoreKeeperSettings> = {}): { keeper: StoreKeeper; faults: Fault[] } {
  const directory = temporaryDirectory()
  const faults: Fault[] = []
  const listen = { host: '127.0.0.1', port: 0 }
  const keeper = new StoreKeeper(
    { directory: directory.path, listen, server: null, ...settings },
    (fault) => {
      faults.push(fault)
    },
  )
  cleanups.push(directory.remove, () => keeper.stop())
  return { keeper, faults }
}

/** The store children of this process. Linux only. */
function storePids(): number[] {
  const pids = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim().split(' ')
  return pids.map(Number).filter((pid) => commandOf(pid).includes('store/child.ts'))
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}

async function until(isReached: () => boolean): Promise<void> {
  while (!isReached()) await pause(5)
}

function pause(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs))
}

describe('a stop leaves no store behind', () => {
  test.each([
    ['before it is started again', 0],
    ['while it is being started again', 1],
  ])('%s', async (_, childCount) => {
    const { keeper, faults } = newKeeper()
    await keeper.start()
    process.kill(storePids()[0], 'SIGKILL')
    await until(() => faults.length === 1 && storePids().length === childCount)
    await keeper.stop()
    expect(storePids()).toEqual([])
    await pause(700) // longer than the pause before a restart
    expect(storePids()).toEqual([])
    expect(faults.map(({ code }) => code)).toEqual(['STORE_DIED'])
  })
})
