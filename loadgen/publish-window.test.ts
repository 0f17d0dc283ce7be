import { describe, expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import { emptyCounters } from './fleet-options.ts'
import { PublishWindow } from './publish-window.ts'

function createWindow(size: number) {
  const counters = emptyCounters()
  const latencies: [number, number][] = []
  const window = new PublishWindow(size, counters, (latencyMs, count) => latencies.push([latencyMs, count]))
  return { counters, latencies, window }
}

describe('publish window', () => {
  test('acks in any order and refusals end in the right sets, across the wrap of packet ids', () => {
    const seed = Date.now() % 1_000_000
    const prng = new Prng(seed)
    for (const size of [1, 7, 100, 40_000, 65_535]) {
      const { counters, window } = createWindow(size)
      const open: number[] = []
      const refused: number[] = []
      const acknowledged = new Set<number>()
      for (let round = 0; round < 400; round++) {
        const count = prng.between(0, Math.min(size - window.inFlight, 1000))
        for (let index = 0; index < count; index++) open.push(window.next + index)
        window.send(count, round)
        const reach = prng.between(1, 3)
        for (let answers = prng.between(0, Math.min(1000, open.length)); answers > 0; answers--) {
          const [message] = open.splice(prng.between(0, Math.min(reach, open.length) - 1), 1)
          const isRefused = prng.between(0, 9) === 0
          if (isRefused) refused.push(message)
          else acknowledged.add(message)
          window.acknowledge(window.packetId(message), isRefused ? 0x97 : 0)
        }
      }
      const outcome = window.outcome(0)
      const context = `seed ${seed}, size ${size}`
      expect(counters, context).toMatchObject({
        strayAcks: 0,
        acknowledged: acknowledged.size,
        refused: refused.length,
      })
      expect(outcome.answered, context).toBe(Math.min(outcome.sent, ...open))
      const sorted = refused.filter((message) => message < outcome.answered).sort((a, b) => a - b)
      expect(outcome.refused, context).toEqual(sorted)
      const early = [...acknowledged].filter((message) => message >= outcome.answered).sort((a, b) => a - b)
      expect(outcome.acknowledgedEarly, context).toEqual(early)
    }
  })

  test('an acknowledgement for nothing in flight is counted and changes nothing', () => {
    const { counters, window } = createWindow(10)
    window.acknowledge(1, 0)
    window.send(3, 0)
    for (const packetId of [0, 4, 11, 65_535]) window.acknowledge(packetId, 0)
    window.acknowledge(2, 0)
    window.acknowledge(2, 0)
    expect(counters).toMatchObject({ strayAcks: 6, acknowledged: 1, overtakingAcks: 1 })
    expect([window.answered, window.next]).toEqual([0, 3])
  })

  test('latency is recorded once per due time and read, with every acknowledgement counted', () => {
    const { latencies, window } = createWindow(10)
    window.send(3, 100)
    window.send(2, 110)
    window.beginRead(125)
    for (const packetId of [1, 2, 3, 4]) window.acknowledge(packetId, 0)
    window.endRead()
    window.beginRead(130)
    window.acknowledge(5, 0)
    window.endRead()
    expect(latencies).toEqual([
      [25, 3],
      [15, 1],
      [20, 1],
    ])
  })

  test('cumulative acknowledgements', () => {
    const { counters, window } = createWindow(10)
    window.send(8, 0)
    for (const message of [3, 3, 2, 7]) window.acknowledgeBefore(message)
    window.acknowledgeBefore(9)
    expect(counters).toMatchObject({ acknowledged: 7, strayAcks: 1 })
    expect(window.inFlight).toBe(1)
  })
})
