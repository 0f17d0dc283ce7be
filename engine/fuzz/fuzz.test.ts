import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { runFuzzJob } from './fuzz-worker.ts'
import { fuzzGateway, MUTATIONS_PER_RUN } from './gateway-fuzz.ts'
import { fuzzSockets } from './socket-fuzz.ts'

const SEED = Number(process.env.SEED ?? 1)

test('mutated packets of both versions: nothing is thrown, the books stay right, a neighbour is served', () => {
  const { mutations, ended, records } = runFuzzJob({ firstSeed: SEED, runs: 12 })
  expect(mutations).toBeGreaterThanOrEqual(12 * MUTATIONS_PER_RUN)
  // Much of it must have been taken, and much refused, or this shows nothing.
  expect(records).toBeGreaterThan(100)
  expect(ended).toBeGreaterThan(1000)
})

test('a seed makes the same run again', () => {
  expect(fuzzGateway(SEED)).toEqual(fuzzGateway(SEED))
  expect(new Prng(SEED).u32()).toBe(new Prng(SEED).u32())
})

test('over real sockets, and a hundred first packets that claim 100 MB', async () => {
  const { connections } = await fuzzSockets(SEED, 60)
  expect(connections).toBe(60)
})

test('the command says what it did, or which option makes no sense', async () => {
  const args = [`${import.meta.dirname}/main.ts`, '--seed', '3']
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...args,
    '--mutations',
    '3000',
    '--threads',
    '1',
  ])
  expect(stdout).toMatch(
    /^\d+ mutations from seed 3 on in .*\n60 connections on real sockets; .*\nnothing broke\n$/,
  )
  await expect(promisify(execFile)(process.execPath, [...args, '--mutations', 'many'])).rejects.toMatchObject(
    {
      code: 2,
      stderr: expect.stringContaining('--mutations takes a number from 1 to 999999999, not "many"'),
    },
  )
})
