import { expect, test } from 'vitest'
import { ReplayProgress } from './replay-progress.ts'

const live = { isLive: true, backlogSizeBytes: 5 }
const behind = (backlogSizeBytes: number) => ({ isLive: false, backlogSizeBytes })

test('counts what is done of what there was, over all shards, to the end', () => {
  const progress = new ReplayProgress()
  expect(progress.look([])).toBe(null)
  expect(progress.look([behind(100)])).toEqual({ doneBytes: 0, totalBytes: 100 })
  expect(progress.look([behind(90), behind(200)])).toEqual({ doneBytes: 0, totalBytes: 290 })
  expect(progress.look([behind(40), behind(150)])).toEqual({ doneBytes: 100, totalBytes: 290 })
  expect(progress.look([live, behind(50)])).toEqual({ doneBytes: 240, totalBytes: 290 })
  expect(progress.look([live, live])).toEqual({ doneBytes: 290, totalBytes: 290 })
  expect(progress.look([live, live])).toBe(null)
})

test('devices that send meanwhile add to the whole, and what is done is never less than nothing', () => {
  const progress = new ReplayProgress()
  progress.look([behind(100)])
  expect(progress.look([behind(150)])).toEqual({ doneBytes: 0, totalBytes: 150 })
  expect(progress.look([behind(30)])).toEqual({ doneBytes: 120, totalBytes: 150 })
})

test('a shard that falls behind later replays nothing', () => {
  const progress = new ReplayProgress()
  for (let look = 0; look < 3; look++) expect(progress.look([live])).toBe(null)
  expect(progress.look([behind(100)])).toBe(null)
})
