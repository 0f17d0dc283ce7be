/** Matching a topic against a large subscription index. */
import { assert } from '../base/assert.ts'
import { Prng } from '../base/prng.ts'
import { SubscriptionIndex } from '../engine/gateway/subscription-index.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'
import { compare, costOf } from './harness.ts'

const TOPIC_COUNT = 1000

/** A filter of a fleet of sites, devices and metrics: mostly one device each, one in ten with a wildcard. */
function filterOf(index: number, prng: Prng): string {
  const site = `site-${index % 100}`
  const device = `device-${index}`
  if (index % 10 !== 0) return `fleet/${site}/${device}/commands`
  return [`fleet/${site}/${device}/#`, `fleet/${site}/+/metric-${index}`, `fleet/+/${device}/status`][
    prng.between(0, 2)
  ]
}

export const bench: Bench = {
  name: 'subscriptions',
  about: 'topics of four levels against 100,000 filters, one in ten with wildcards',
  async run(size: BenchSize): Promise<Measure[]> {
    const filterCount = size === 'full' ? 100_000 : 5000
    const prng = new Prng(1)
    const index = new SubscriptionIndex<number>()
    const filters = Array.from({ length: filterCount }, (_, i) => filterOf(i, prng))
    const addAll = () => {
      for (const [i, filter] of filters.entries()) index.add(filter, i)
    }
    const adding = await costOf(addAll, filterCount)
    assert(index.count === filterCount, 'every filter is in the index')
    const topics = Array.from({ length: TOPIC_COUNT }, () => {
      const i = prng.between(0, filterCount - 1)
      return `fleet/site-${i % 100}/device-${i}/commands`
    })
    const into: number[] = []
    const match = () => {
      into.length = 0
      for (const topic of topics) index.match(topic, into)
      assert(into.length > TOPIC_COUNT / 2, 'most topics have a subscriber')
    }
    const ns = await compare({ match }, { operations: TOPIC_COUNT, size })
    return [
      { name: `match in ${filterCount} filters`, value: ns.match, unit: 'ns/topic' },
      { name: 'add', value: adding.cpuNs, unit: 'CPU-ns/filter' },
    ]
  },
}
