/** The harness's command line and what it draws from a seed. */
import { describe, expect, test } from 'vitest'
import { readCrashOptions } from './crash-options.ts'
import { planRound, ROUND_FAULTS } from './faults.ts'

describe('options', () => {
  test.each([
    ['--rounds many', /--rounds takes a whole number/],
    ['--rounds -1', /--rounds/],
    ['--faults kill-engine,fire', /there is no fault "fire"/],
    ['--faults cut-reply --rounds 5', /none of the faults comes in rounds/],
    ['--count 5', /none was asked for/],
    ['--redelivery never', /--redelivery takes dup, anew or both/],
    ['--gateways 0 --shards 2', /with --gateways 0 there is one/],
    ['--shards 0', /there must be a shard/],
    ['--seed 99999999999', /--seed takes a whole number/],
    ['--nonsense', /--nonsense/],
    ['stray', /stray/],
  ])('%s is refused in one line', (args, message) => {
    expect(() => readCrashOptions(args.split(' '))).toThrow(message)
  })

  test('defaults', () => {
    expect(readCrashOptions(['--help'])).toBe(null)
    const kills = readCrashOptions(['--seed', '3'])?.run
    expect(kills).toMatchObject({ seed: 3, rounds: 100, proxyFaultCount: 0, redeliveries: ['dup', 'anew'] })
    expect(kills?.faults).toEqual(['kill-engine', 'kill-store', 'kill-both'])
    const cuts = readCrashOptions(['--faults', 'cut-reply'])?.run
    expect(cuts).toMatchObject({ rounds: 0, proxyFaultCount: 1000, faults: ['cut-reply'] })
    const both = readCrashOptions(['--faults', 'rounds,proxy', '--rounds', '7', '--count', '9'])?.run
    expect(both).toMatchObject({ rounds: 7, proxyFaultCount: 9 })
    expect(readCrashOptions(['--gateways', '0'])?.run.shards).toBe(1)
  })
})

test('a seed and a number make a round, and other seeds and numbers others', () => {
  const rounds = (seed: number) =>
    Array.from({ length: 200 }, (_, number) => planRound(seed, number, ROUND_FAULTS, ['dup', 'anew']))
  expect(rounds(7)).toEqual(rounds(7))
  const texts = [...rounds(7), ...rounds(8)].map((round) => JSON.stringify(round))
  expect(new Set(texts).size).toBe(400)
  expect(new Set(rounds(7).map(({ fault }) => fault))).toEqual(new Set(ROUND_FAULTS))
})
