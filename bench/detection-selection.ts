/**
 * What the default detector is worth where nobody tuned it: all of its settings, and the threshold, are chosen without a category
 * of labelled series and then tried on it; every category once. What is chosen is no peak, but the middle of the settings
 * that do best on the other categories, among many drawn at random around the ones in use.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Prng } from '../base/prng.ts'
import { readCsvSeries } from '../engine/detect/csv-series.ts'
import { AdaptiveDetector } from '../operators/detect/adaptive.ts'
import { ADAPTIVE_SETTINGS, type AdaptiveSettings } from '../operators/detect/adaptive-settings.ts'
import type { Measure } from './bench.ts'

const CANDIDATES = 40
/** It is done as many times, with other candidates: a single time is luck. */
const DRAWS = 3
/** Deviation of a candidate's settings from those in use, as a share. */
const SPREAD = 0.25
/** The middle is that of so many of the best. */
const BEST = 10
/** Less than a missed window costs. */
const WORTHLESS = -2

/** Per row of a file: what an alert there is worth, and in which window it lies (-1: none). */
interface Geometry {
  unit: Float64Array
  win: Int32Array
  windows: number
  probation: number
  rows: number
}

interface Scored {
  name: string
  geo: Geometry
  scores: Float64Array
}

interface Verdict {
  raw: number
  score: number
  threshold: number
}

/** What the benchmark's scorer offers. */
interface Scorer {
  geometry(timestamps: string[], windows: [string, string][]): Geometry
  scoreProfile(files: Scored[], profile: string, threshold?: number): Verdict
}

interface Series {
  name: string
  category: string
  tsMs: number[]
  value: number[]
  geo: Geometry
}

/** Settings and the scores that they lead to, of each series. */
interface Candidate {
  settings: AdaptiveSettings
  scored: Scored[]
}

export async function measureSelection(data: string): Promise<Measure[]> {
  const scorer: Scorer = await import(pathToFileURL(join(data, 'nab_score.mjs')).href)
  const series = await readSeries(data, scorer)
  const scores: number[] = []
  const left: number[] = []
  for (let draw = 1; draw <= DRAWS; draw++) {
    const candidates = drawSettings(draw).map((settings) => candidateOf(settings, series))
    for (const { scored } of candidates) scores.push(scorer.scoreProfile(scored, 'standard').score)
    left.push(scoreLeftOut(candidates, series, scorer))
  }
  const name = 'NAB, settings and threshold chosen without each category'
  const unit = 'of 100'
  return [
    { name, value: left.reduce((sum, one) => sum + one, 0) / DRAWS, unit, atLeast: 70 },
    { name: `${name}, worst of ${DRAWS} draws`, value: Math.min(...left), unit },
    { name: 'NAB, settings drawn at random, median', value: median(scores), unit },
  ]
}

/** The standard score of each category under what was chosen on the others. */
function scoreLeftOut(candidates: Candidate[], series: Series[], scorer: Scorer): number {
  let raw = 0
  let windows = 0
  for (const category of new Set(series.map((one) => one.category))) {
    const isOwn = series.map((one) => one.category === category)
    const chosen = candidateOf(chooseSettings(candidates, isOwn, scorer), series)
    const { threshold } = scorer.scoreProfile(without(chosen, isOwn), 'standard')
    const own = chosen.scored.filter((_, i) => isOwn[i])
    raw += scorer.scoreProfile(own, 'standard', threshold).raw
    for (const { geo } of own) windows += geo.windows
  }
  // A raw score of -w is a detector that never alerts, w a perfect one, for w windows.
  return 50 + (50 * raw) / windows
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]
}

async function readSeries(data: string, scorer: Scorer): Promise<Series[]> {
  const windows: Record<string, [string, string][]> = JSON.parse(
    readFileSync(join(data, 'nab/windows.json'), 'utf8'),
  )
  const series: Series[] = []
  for (const name of Object.keys(windows).sort()) {
    const times: string[] = []
    const tsMs: number[] = []
    const value: number[] = []
    for await (const reading of readCsvSeries(join(data, 'nab/data', name))) {
      times.push(reading.timeText)
      tsMs.push(reading.tsMs)
      value.push(reading.value)
    }
    series.push({
      name,
      category: name.split('/')[0],
      tsMs,
      value,
      geo: scorer.geometry(times, windows[name]),
    })
  }
  return series
}

/** Around those in use, but not these: they have seen all. */
function drawSettings(seed: number): AdaptiveSettings[] {
  const prng = new Prng(seed)
  return Array.from({ length: CANDIDATES }, () => {
    const settings = { ...ADAPTIVE_SETTINGS }
    for (const key of keysOf(settings)) settings[key] *= Math.exp(SPREAD * prng.normal())
    return settings
  })
}

/** The middle of those that do best without the series marked `isOwn`. */
function chooseSettings(candidates: Candidate[], isOwn: boolean[], scorer: Scorer): AdaptiveSettings {
  const ranked = candidates
    .map((candidate) => ({
      settings: candidate.settings,
      score: scorer.scoreProfile(without(candidate, isOwn), 'standard').score,
    }))
    .sort((a, b) => b.score - a.score)
    .slice(0, BEST)
  const middle = { ...ADAPTIVE_SETTINGS }
  for (const key of keysOf(middle)) {
    const logarithms = ranked.map(({ settings }) => Math.log(settings[key]))
    middle[key] = Math.exp(logarithms.reduce((sum, one) => sum + one, 0) / BEST)
  }
  return middle
}

function without({ scored }: Candidate, isOwn: boolean[]): Scored[] {
  return scored.filter((_, i) => !isOwn[i])
}

function keysOf(settings: AdaptiveSettings): (keyof AdaptiveSettings)[] {
  return Object.keys(settings) as (keyof AdaptiveSettings)[]
}

function candidateOf(settings: AdaptiveSettings, series: Series[]): Candidate {
  const scored = series.map(({ name, tsMs, value, geo }) => {
    const detector = new AdaptiveDetector(settings)
    const scores = Float64Array.from(value, (one, i) => detector.take(0, tsMs[i], one))
    return relevant({ name, geo, scores })
  })
  return { settings, scored }
}

/** Without the rows that can't be an alert at any threshold above 0, but for one of each window: it counts when it is missed. */
function relevant({ name, geo, scores }: Scored): Scored {
  const rows: number[] = []
  let window = -1
  for (let row = Math.ceil(geo.probation); row < geo.rows; row++) {
    if (scores[row] > 0 || geo.win[row] > window) rows.push(row)
    if (geo.win[row] > window) window = geo.win[row]
  }
  return {
    name,
    geo: {
      unit: Float64Array.from(rows, (row) => (scores[row] > 0 ? geo.unit[row] : WORTHLESS)),
      win: Int32Array.from(rows, (row) => geo.win[row]),
      windows: geo.windows,
      probation: 0,
      rows: rows.length,
    },
    scores: Float64Array.from(rows, (row) => scores[row]),
  }
}
