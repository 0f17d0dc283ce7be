import { execFileSync, spawnSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { findBenches, runIsolated } from './catalogue.ts'
import { compare, costOf } from './harness.ts'

const RUN = `${import.meta.dirname}/run.ts`

describe('every bench runs small', () => {
  test.each(findBenches())('%s', async (name) => {
    const { about, measures } = await runIsolated(name, 'small')
    expect(about).not.toBe('')
    expect(measures.length).toBeGreaterThan(0)
    for (const measure of measures) {
      expect(measure.value, `${measure.name} in ${measure.unit}`).toBeGreaterThan(0)
      expect(measure.value, `${measure.name} in ${measure.unit}`).toBeLessThan(Number.POSITIVE_INFINITY)
    }
  })
})

describe('the runner', () => {
  test('prints its help', () => {
    expect(execFileSync(process.execPath, [RUN, '--help'], { encoding: 'utf8' })).toContain(
      '--size small|full',
    )
  })

  test.each([
    [['nothing-like-it'], 'no bench is called nothing-like-it'],
    [['--size', 'huge'], '--size is small or full, not huge'],
  ])('refuses %j', (args, message) => {
    const { status, stderr } = spawnSync(process.execPath, [RUN, ...args], { encoding: 'utf8' })
    expect(status).toBe(1)
    expect(stderr).toContain(message)
  })

  test('a bench that fails is an error with its name', async () => {
    await expect(runIsolated('no-such-file', 'small')).rejects.toThrow(/^no-such-file: /)
  })

  test('a bench that does not end in time is killed', async () => {
    await expect(runIsolated('windows', 'small', 1)).rejects.toThrow('no end after 0.001 s')
  })

  test('--json prints an object per line', () => {
    const args = [RUN, 'windows', '--json', '--size', 'small']
    const lines = execFileSync(process.execPath, args, { encoding: 'utf8' }).trim().split('\n')
    const events = lines.map((line) => JSON.parse(line))
    expect(events[0]).toMatchObject({ event: 'machine', node: process.version, size: 'small' })
    expect(events[1]).toMatchObject({ event: 'measure', bench: 'windows' })
  })
})

describe('the harness', () => {
  test('tells a heavy candidate from a light one', async () => {
    let sum = 0
    const loop = (count: number) => () => {
      for (let i = 0; i < count; i++) sum += Math.sqrt(i)
    }
    const ns = await compare({ light: loop(1000), heavy: loop(100_000) }, { operations: 1000, size: 'small' })
    expect(ns.light).toBeGreaterThan(0)
    expect(ns.heavy).toBeGreaterThan(ns.light)
    expect(sum).toBeGreaterThan(0)
  })

  test('a candidate that throws fails the comparison', async () => {
    const fails = () => {
      throw new Error('on purpose')
    }
    await expect(compare({ fails }, { operations: 1, size: 'small' })).rejects.toThrow('on purpose')
  })

  test('costs are per operation', async () => {
    const cost = await costOf(() => new Promise((resolve) => setTimeout(resolve, 20)), 1000)
    expect(cost.wallNs).toBeGreaterThan(10_000)
    expect(cost.cpuNs).toBeGreaterThanOrEqual(0)
  })
})
