/** Episodes and heartbeats: what is raised, when it is cleared, and that both survive a restart. */
import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { StateReader } from '../../codecs/state.ts'
import { EpisodeState, Episodes, Severity } from './episodes.ts'
import { Heartbeat } from './heartbeat.ts'
import { imageOf } from './state-image.ts'

const HOUR_MS = 3_600_000

function rowsOf(episodes: Episodes): number[][] {
  const { rows } = episodes
  const found = Array.from({ length: rows.count }, (_, i) => [
    rows.series[i],
    rows.state[i],
    rows.severity[i],
    rows.startMs[i],
    rows.tsMs[i],
  ])
  rows.clear()
  return found
}

describe('episodes', () => {
  test('raised, updated with the severity, cleared after the quiet time', () => {
    const episodes = new Episodes({ quietMs: 100, coolDownMs: 0 })
    episodes.take(3, 10, 1, 0.4, 0, 0)
    episodes.take(3, 20, 2, 0.55, 0, 5)
    episodes.take(3, 30, 3, 0.6, 0, 5)
    episodes.take(3, 40, 4, 0.95, 0, 5)
    episodes.take(3, 50, 5, 0.7, 0, 5)
    episodes.take(3, 149, 1, 0, 0, 5)
    expect(episodes.open).toBe(1)
    episodes.take(3, 150, 1, 0, 0, 5)
    expect(rowsOf(episodes)).toEqual([
      [3, EpisodeState.raised, Severity.warning, 20, 20],
      [3, EpisodeState.updated, Severity.critical, 20, 40],
      [3, EpisodeState.cleared, Severity.critical, 20, 150],
    ])
    expect(episodes.open).toBe(0)
  })

  test('in the cool-down only what is more severe is raised', () => {
    const episodes = new Episodes({ quietMs: 100, coolDownMs: 1000 })
    episodes.take(0, 0, 1, 0.6, 0, 0)
    episodes.tick(100)
    episodes.take(0, 500, 1, 0.6, 0, 0)
    expect(episodes.open).toBe(0)
    episodes.take(0, 600, 1, 0.8, 0, 0)
    expect(rowsOf(episodes).map(([, state]) => state)).toEqual([1, 3, 1])
    episodes.tick(1000)
    episodes.take(0, 1701, 1, 0.5, 0, 0)
    expect(rowsOf(episodes).map(([, state]) => state)).toEqual([3, 1])
  })

  test('rows of a series alternate, and a saved state goes on the same', () => {
    const seed = 31
    const prng = new Prng(seed)
    let episodes = new Episodes({ quietMs: HOUR_MS, coolDownMs: 2 * HOUR_MS })
    const open = new Map<number, boolean>()
    for (let i = 0; i < 20_000; i++) {
      const score = prng.unit() ** 4
      episodes.take(prng.between(0, 99), i * 60_000, score, score, 0, 1)
      if (i % 500 === 0) episodes.tick(i * 60_000)
      for (const [series, state] of rowsOf(episodes)) {
        expect(open.get(series) ?? false, `seed ${seed}, reading ${i}`).toBe(state !== EpisodeState.raised)
        open.set(series, state !== EpisodeState.cleared)
      }
      if (i % 3000 !== 0) continue
      const image = imageOf(episodes)
      episodes = new Episodes({ quietMs: HOUR_MS, coolDownMs: 2 * HOUR_MS })
      episodes.load(new StateReader(image))
      expect(imageOf(episodes)).toEqual(image)
    }
    expect([...open.values()].filter(Boolean)).toHaveLength(episodes.open)
  })
})

describe('heartbeat', () => {
  function regular(beats = 100): Heartbeat {
    const heartbeat = new Heartbeat()
    for (let i = 0; i < beats; i++) heartbeat.beat(7, i * 1000)
    return heartbeat
  }

  test('a silent series is overdue once, by time alone', () => {
    const heartbeat = regular()
    expect(heartbeat.dueMs(7)).toBe(99_000 + 2500)
    heartbeat.tick(101_499)
    expect(heartbeat.overdue).toEqual([])
    heartbeat.tick(101_500)
    expect(heartbeat.overdue).toEqual([{ series: 7, dueMs: 101_500, silenceMs: 2500 }])
    heartbeat.tick(1e9)
    expect(heartbeat.overdue).toEqual([])
    heartbeat.beat(7, 1e9)
    expect(heartbeat.dueMs(7)).toBeGreaterThan(1e9 + 2500)
  })

  test('nobody is silent while the engine is down', () => {
    const heartbeat = regular()
    heartbeat.gap(HOUR_MS)
    expect(heartbeat.isWaiting).toBe(true)
    // A minute to come back, or a whole silence if that is longer.
    heartbeat.tick(99_000 + HOUR_MS + 59_999)
    expect(heartbeat.overdue).toEqual([])
    heartbeat.tick(99_000 + HOUR_MS + 60_000)
    expect(heartbeat.overdue).toHaveLength(1)
    expect(heartbeat.isWaiting).toBe(false)
  })

  test('irregular series get more time, to the millisecond, new ones no alarm', () => {
    const heartbeat = new Heartbeat()
    const prng = new Prng(2)
    let nowMs = 0
    let alarms = 0
    for (let i = 0; i < 5000; i++) {
      heartbeat.beat(0, nowMs)
      nowMs += Math.ceil(-1000 * Math.log(1 - prng.unit()))
      heartbeat.tick(nowMs - 1)
      expect(heartbeat.dueMs(0)).toBe(Math.round(heartbeat.dueMs(0)))
      alarms += heartbeat.overdue.length
    }
    expect(alarms).toBeLessThan(50)
    expect(regular(10).dueMs(7)).toBe(Number.POSITIVE_INFINITY)
    expect(regular().dueMs(8)).toBe(Number.POSITIVE_INFINITY)
  })

  test('a saved state goes on the same', () => {
    const heartbeat = regular()
    heartbeat.gap(5)
    const loaded = new Heartbeat()
    loaded.load(new StateReader(imageOf(heartbeat)))
    expect(loaded.dueMs(7)).toBe(heartbeat.dueMs(7))
    loaded.beat(900, 1)
    expect(imageOf(loaded).length).toBeGreaterThan(imageOf(heartbeat).length)
  })
})
