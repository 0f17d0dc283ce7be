import { describe, expect, test } from 'vitest'
import { AssertionError } from '../base/assert.ts'
import { Prng } from '../base/prng.ts'
import { StateReader, StateWriter } from '../codecs/state.ts'
import { rowsOf } from './ordered-oracle.ts'
import type { OrderedSettings } from './ordered-settings.ts'
import { BASE_MS, makeSettings, makeSteps, playStep, pushReadings } from './ordered-streams.ts'
import { OrderedWindows } from './ordered-windows.ts'
import { WindowSettingsError } from './window-plan.ts'
import type { WindowSpec } from './window-spec.ts'

const KINDS: WindowSpec['kind'][] = ['session', 'count', 'sliding', 'tumbling', 'hopping', 'calendar']
const SESSION: WindowSpec = { kind: 'session', gapMs: 1000, aggregates: ['count', 'sum'], earlyMs: null }
const SETTINGS: OrderedSettings = {
  specs: [SESSION],
  latenessMs: 10_000,
  idleTimeoutMs: 30_000,
  aheadGuardMs: 300_000,
}

function imageOf(windows: OrderedWindows): Uint8Array {
  const out = new StateWriter()
  windows.save(out)
  const image = Buffer.concat(out.parts)
  expect(image.length).toBe(out.sizeBytes)
  return new Uint8Array(image)
}

function openImage(settings: OrderedSettings, image: Uint8Array): OrderedWindows {
  const windows = new OrderedWindows(settings, true)
  const from = new StateReader(image)
  windows.load(from)
  expect(from.isAtEnd).toBe(true)
  return windows
}

/** Everything that windows have to say, as text, bit for bit; taken. */
function takeAll(windows: OrderedWindows, into: string[]): void {
  for (const { series, operator, row } of rowsOf(windows)) {
    into.push(`${series} ${operator} ${Buffer.from(Float64Array.from(row.cells).buffer).toString('hex')}`)
    into.push(JSON.stringify([...row.states]))
  }
  const { amendments: asked } = windows
  for (let row = 0; row < asked.count; row++) {
    into.push(`${asked.series[row]} ${asked.operator[row]} ${asked.fromMs[row]} ${asked.toMs[row]}`)
  }
  windows.clearRows()
}

const isSame = (image: Uint8Array, other: Uint8Array) => Buffer.compare(image, other) === 0

/** One that is never saved, one that is saved and goes on, and one that is loaded anew at each cut. */
class Trio {
  readonly settings: OrderedSettings
  readonly all: [OrderedWindows, OrderedWindows, OrderedWindows]
  readonly said: [string[], string[], string[]] = [[], [], []]

  constructor(settings: OrderedSettings, isFresh: boolean) {
    this.settings = settings
    const make = () => new OrderedWindows(settings, isFresh)
    this.all = [make(), make(), make()]
  }

  each(act: (windows: OrderedWindows) => void): void {
    for (const windows of this.all) act(windows)
  }

  take(): void {
    for (const [index, windows] of this.all.entries()) takeAll(windows, this.said[index])
  }

  cut(about: string): void {
    this.take()
    const [, kept, moved] = this.all
    const image = imageOf(kept)
    expect(isSame(imageOf(kept), image), `${about}: saved twice`).toBe(true)
    expect(isSame(imageOf(moved), image), `${about}: saved by the one that was loaded`).toBe(true)
    this.all[2] = openImage(this.settings, image)
    expect(isSame(imageOf(this.all[2]), image), `${about}: saved after the load`).toBe(true)
    expect(this.all[2].stats, about).toEqual(kept.stats)
  }

  expectSame(about: string): void {
    this.take()
    const [plain, kept, moved] = this.said
    expect(kept, `${about}: a save changed what followed`).toEqual(plain)
    expect(moved, `${about}: a load changed what followed`).toEqual(plain)
    expect(isSame(imageOf(this.all[2]), imageOf(this.all[0])), `${about}: the state at the end`).toBe(true)
  }
}

describe('ordered windows that are saved and loaded', () => {
  test('go on with the same rows, whatever the stream and wherever the cut', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const prng = new Prng(seed)
      const settings = makeSettings(prng, KINDS)
      const trio = new Trio(settings, prng.unit() < 0.7)
      for (const [index, step] of makeSteps(prng, 200, settings.aheadGuardMs).entries()) {
        trio.each((windows) => playStep(windows, step))
        if (prng.unit() < 0.1) trio.take()
        if (prng.unit() < 0.02) trio.cut(`seed ${seed}, step ${index}`)
        if (prng.unit() >= 0.01) continue
        trio.each((windows) => windows.flush(3))
        if (prng.unit() < 0.5) trio.cut(`seed ${seed}, step ${index}, amid a flush`)
        trio.each((windows) => windows.flush())
        if (prng.unit() < 0.5) trio.cut(`seed ${seed}, step ${index}, after a flush`)
      }
      trio.expectSame(`seed ${seed}`)
      trio.each((windows) => windows.flush())
      trio.expectSame(`seed ${seed}, flushed`)
    }
  })

  test('do not care how the readings of one arrival are cut into pushes', () => {
    for (let seed = 1; seed <= 25; seed++) {
      const prng = new Prng(seed)
      const settings = makeSettings(prng, KINDS)
      const whole: string[] = []
      const cut: string[] = []
      const windows = new OrderedWindows(settings, true)
      const other = new OrderedWindows(settings, true)
      for (const step of makeSteps(prng, 150, settings.aheadGuardMs)) {
        playStep(windows, step)
        if ('readings' in step) for (const one of step.readings) pushReadings(other, [one], step.arrivalMs)
        else playStep(other, step)
        if (prng.unit() >= 0.1) continue
        takeAll(windows, whole)
        takeAll(other, cut)
      }
      takeAll(windows, whole)
      takeAll(other, cut)
      expect(cut, `seed ${seed}`).toEqual(whole)
      expect(other.stats, `seed ${seed}`).toEqual(windows.stats)
    }
  })

  test('refuse the state of other settings, and to be loaded when in use', () => {
    const windows = new OrderedWindows(SETTINGS, true)
    const image = imageOf(windows)
    const others: Partial<OrderedSettings>[] = [
      { latenessMs: 9999 },
      { forgetMs: 1 },
      { specs: [SESSION, SESSION] },
      { specs: [{ ...SESSION, gapMs: 1001 }] },
      { specs: [{ ...SESSION, aggregates: ['count'] }] },
      { specs: [{ ...SESSION, earlyMs: 10 }] },
    ]
    for (const other of others) {
      expect(() => openImage({ ...SETTINGS, ...other }, image)).toThrow(WindowSettingsError)
    }
    pushReadings(windows, [{ series: 0, ts: BASE_MS, value: 1 }], BASE_MS)
    expect(() => windows.load(new StateReader(image))).toThrow(AssertionError)
    windows.flush()
    expect(() => imageOf(windows)).toThrow(AssertionError)
  })
})

test('settings that make no sense are refused by name', () => {
  const faults: [Partial<OrderedSettings>, RegExp][] = [
    [{ latenessMs: -1 }, /latenessMs/],
    [{ forgetMs: 0.5 }, /forgetMs/],
    [{ heldMax: 0 }, /heldMax/],
    [{ specs: [{ ...SESSION, gapMs: 0 }] }, /specs\[0\]\.gapMs/],
    [{ specs: [SESSION, { ...SESSION, kind: 'count', size: 0 }] }, /specs\[1\]\.size/],
    [{ specs: [{ ...SESSION, kind: 'tumbling', widthMs: 10 }] }, /specs\[0\]\.aggregates/],
    [{ specs: [{ kind: 'hopping', widthMs: 10, hopMs: 11, aggregates: ['rate'], earlyMs: null }] }, /hopMs/],
    [{ specs: [{ kind: 'hopping', widthMs: 1e8, hopMs: 1, aggregates: ['rate'], earlyMs: null }] }, /hopMs/],
  ]
  for (const [fault, message] of faults) {
    expect(() => new OrderedWindows({ ...SETTINGS, ...fault }, true)).toThrow(message)
  }
})
