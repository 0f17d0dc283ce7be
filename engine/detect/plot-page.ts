/**
 * A page that shows a series, the range in which it was expected, and its alerts: one HTML file, which loads
 * nothing. Of a series of any length PlotSeries keeps at most BUCKETS_MAX stretches with their lowest and
 * highest values: when they are used up, neighbours merge.
 */
import { EpisodeState } from '../../operators/detect/episodes.ts'

const BUCKETS_MAX = 2048
const EPISODES_MAX = 2000
const WIDTH = 1200
const HEIGHT = 360
const STRIP_HEIGHT = 60

interface Bucket {
  fromMs: number
  toMs: number
  low: number
  high: number
  expectedLow: number
  expectedHigh: number
  score: number
}

interface PlotEpisode {
  startMs: number
  endMs: number
  severity: number
  score: number
}

export class PlotSeries {
  buckets: Bucket[] = []
  episodes: PlotEpisode[] = []
  gapsMs: number[] = []
  readings = 0
  #perBucket = 1

  add(tsMs: number, value: number, score: number, expectedLow: number, expectedHigh: number): void {
    const point = { fromMs: tsMs, toMs: tsMs, low: value, high: value, expectedLow, expectedHigh, score }
    if (this.readings % this.#perBucket === 0) {
      if (this.buckets.length === BUCKETS_MAX) this.#halve()
      this.buckets.push(point)
    } else {
      const last = this.buckets.length - 1
      this.buckets[last] = merge(this.buckets[last], point)
    }
    this.readings++
  }

  addGap(tsMs: number): void {
    if (this.gapsMs.length < EPISODES_MAX) this.gapsMs.push(tsMs)
  }

  addEpisode(state: number, startMs: number, tsMs: number, severity: number, score: number): void {
    if (state === EpisodeState.raised) {
      if (this.episodes.length < EPISODES_MAX) this.episodes.push({ startMs, endMs: tsMs, severity, score })
      return
    }
    const episode = this.episodes.at(-1)
    if (episode?.startMs === startMs) Object.assign(episode, { endMs: tsMs, severity, score })
  }

  #halve(): void {
    const { buckets } = this
    this.buckets = buckets.flatMap((bucket, i) => (i % 2 === 1 ? [merge(buckets[i - 1], bucket)] : []))
    this.#perBucket *= 2
  }
}

function merge(a: Bucket, b: Bucket): Bucket {
  return {
    fromMs: Math.min(a.fromMs, b.fromMs),
    toMs: Math.max(a.toMs, b.toMs),
    low: lowest(a.low, b.low),
    high: -lowest(-a.high, -b.high),
    expectedLow: lowest(a.expectedLow, b.expectedLow),
    expectedHigh: -lowest(-a.expectedHigh, -b.expectedHigh),
    score: Math.max(a.score, b.score),
  }
}

/** The lower one, of those that are numbers. */
function lowest(a: number, b: number): number {
  return Number.isNaN(a) || b < a ? b : a
}

export interface PlotSettings {
  title: string
  detector: string
  raiseScore: number
}

export function plotPage({ title, detector, raiseScore }: PlotSettings, series: PlotSeries): string {
  const buckets = series.buckets.filter(({ low }) => Number.isFinite(low))
  const name = escapeHtml(title)
  const alerts = `${series.episodes.length} ${series.episodes.length === 1 ? 'alert' : 'alerts'}`
  const gaps = series.gapsMs.length > 0 ? `, ${series.gapsMs.length} times overdue` : ''
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${name}: ${escapeHtml(detector)}</title>
<style>${STYLE}</style>
<h1>${name}</h1>
<p>${series.readings} readings, detector ${escapeHtml(detector)}: ${alerts}${gaps}. Times are UTC.</p>
${buckets.length > 0 ? drawing(buckets, series, raiseScore) : '<p>No reading has a value.</p>'}
<p class="key"><span class="value">value</span> <span class="range">expected range</span>
<span class="alert">alert</span> <span class="overdue">overdue</span></p>
${episodeTable(series.episodes)}
</html>
`
}

const STYLE = `
:root{color-scheme:light dark;--value:#1558a8;--range:#1558a826;--alert:#d3202033;--mark:#d32020;--faint:#8888}
@media(prefers-color-scheme:dark){:root{--value:#7db8ff;--range:#7db8ff2b;--alert:#ff6b6b3d;--mark:#ff6b6b}}
body{font:14px/1.4 system-ui,sans-serif;max-width:1200px;margin:1.5rem auto;padding:0 1rem}
h1{font-size:1.2rem;margin:0;overflow-wrap:anywhere}svg{width:100%;height:auto;display:block}
text{font-size:12px;fill:currentColor}.grid{stroke:var(--faint);stroke-width:.5}
path.value{fill:none;stroke:var(--value);stroke-width:1.2;stroke-linejoin:round}path.range{fill:var(--range)}
path.score{fill:none;stroke:var(--mark);stroke-width:1}rect.alert{fill:var(--alert)}
line.alert{stroke:var(--mark);stroke-width:1.5}line.overdue{stroke:var(--mark);stroke-dasharray:3 3}
.key span{margin-right:1.2em}.key span::before{content:"";display:inline-block;width:1em;height:.7em;margin-right:.4em}
.key .value::before{background:var(--value)}.key .range::before{background:var(--range)}
.key .alert::before{background:var(--alert);border-left:2px solid var(--mark)}
.key .overdue::before{border-left:2px dashed var(--mark);width:.2em}
table{border-collapse:collapse}td,th{padding:.15rem 1rem .15rem 0;text-align:left;font-variant-numeric:tabular-nums}`

interface Scale {
  x(tsMs: number): string
  y(value: number): string
  fromMs: number
  toMs: number
  low: number
  high: number
}

function scaleOf(buckets: Bucket[]): Scale {
  let low = Number.POSITIVE_INFINITY
  let high = Number.NEGATIVE_INFINITY
  let fromMs = Number.POSITIVE_INFINITY
  let toMs = Number.NEGATIVE_INFINITY
  for (const bucket of buckets) {
    low = Math.min(low, bucket.low)
    high = Math.max(high, bucket.high)
    fromMs = Math.min(fromMs, bucket.fromMs)
    toMs = Math.max(toMs, bucket.toMs)
  }
  const margin = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1
  low -= margin
  high += margin
  const x = (tsMs: number) => (((tsMs - fromMs) / (toMs - fromMs || 1)) * WIDTH).toFixed(1)
  const y = (value: number) =>
    (HEIGHT * (1 - Math.min(1, Math.max(0, (value - low) / (high - low))))).toFixed(1)
  return { x, y, fromMs, toMs, low, high }
}

function drawing(buckets: Bucket[], series: PlotSeries, raiseScore: number): string {
  const scale = scaleOf(buckets)
  const { x, y } = scale
  const line = buckets.map((b) => `${x(b.fromMs)},${y(b.low)} ${x(b.toMs)},${y(b.high)}`).join('L')
  const known = buckets.filter((b) => Number.isFinite(b.expectedLow) && Number.isFinite(b.expectedHigh))
  const upper = known.map((b) => `${x(b.fromMs)},${y(b.expectedHigh)}`)
  const lower = known.map((b) => `${x(b.fromMs)},${y(b.expectedLow)}`).reverse()
  const range = known.length > 0 ? `<path class="range" d="M${[...upper, ...lower].join('L')}Z"/>` : ''
  return `<svg viewBox="-64 -8 ${WIDTH + 72} ${HEIGHT + STRIP_HEIGHT + 48}" role="img" aria-label="the series over time">
${gridOf(scale)}${alertsOf(series, scale)}${range}<path class="value" d="M${line}"/>
${scoreStrip(buckets, scale, raiseScore)}</svg>`
}

function gridOf({ x, y, fromMs, toMs, low, high }: Scale): string {
  const values = [0, 1, 2, 3, 4].map((i) => low + ((high - low) * i) / 4)
  const times = [0, 1, 2, 3, 4].map((i) => fromMs + ((toMs - fromMs) * i) / 4)
  const rows = values.map(
    (value) =>
      `<line class="grid" x2="${WIDTH}" y1="${y(value)}" y2="${y(value)}"/>` +
      `<text x="-6" y="${y(value)}" text-anchor="end" dy=".35em">${Number(value.toPrecision(4))}</text>`,
  )
  const columns = times.map((tsMs, i) => {
    const anchor = i === 0 ? 'start' : i === 4 ? 'end' : 'middle'
    const label = new Date(tsMs).toISOString().slice(0, 16).replace('T', ' ')
    const top = HEIGHT + STRIP_HEIGHT + 28
    return `<text x="${x(tsMs)}" y="${top}" text-anchor="${anchor}">${label}</text>`
  })
  return [...rows, ...columns].join('\n')
}

function alertsOf({ episodes, gapsMs }: PlotSeries, { x, fromMs, toMs }: Scale): string {
  const bands = episodes.map(({ startMs, endMs }) => {
    const from = x(startMs)
    const width = Math.max(1, Number(x(Math.min(endMs, toMs))) - Number(from))
    const rect = `<rect class="alert" x="${from}" width="${width.toFixed(1)}" height="${HEIGHT}"/>`
    return `${rect}<line class="alert" x1="${from}" x2="${from}" y2="${HEIGHT}"/>`
  })
  const marks = gapsMs
    .filter((tsMs) => tsMs >= fromMs)
    .map((tsMs) => `<line class="overdue" x1="${x(tsMs)}" x2="${x(tsMs)}" y2="${HEIGHT}"/>`)
  return [...bands, ...marks].join('\n')
}

/** The scores below the series, with the line that raises an alert. */
function scoreStrip(buckets: Bucket[], { x }: Scale, raiseScore: number): string {
  const top = HEIGHT + 10
  const y = (score: number) => (top + STRIP_HEIGHT * (1 - score)).toFixed(1)
  const line = buckets.map((b) => `${x(b.fromMs)},${y(b.score)}`).join('L')
  const raise = y(raiseScore)
  return `<line class="grid" x2="${WIDTH}" y1="${raise}" y2="${raise}"/>
<text x="-6" y="${raise}" text-anchor="end" dy=".35em">score ${raiseScore}</text><path class="score" d="M${line}"/>`
}

const SEVERITIES = ['', 'warning', 'major', 'critical']

function episodeTable(episodes: PlotEpisode[]): string {
  if (episodes.length === 0) return ''
  const time = (tsMs: number) => new Date(tsMs).toISOString().slice(0, 19).replace('T', ' ')
  const rows = episodes.map(
    ({ startMs, endMs, severity, score }) =>
      `<tr><td>${time(startMs)}<td>${time(endMs)}<td>${SEVERITIES[severity]}<td>${score.toFixed(3)}`,
  )
  return `<table><tr><th>raised<th>until<th>severity<th>score\n${rows.join('\n')}</table>`
}

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
