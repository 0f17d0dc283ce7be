/** A page that shows a series, the range in which it was expected, and its alerts: one HTML file, which loads nothing. */
import type { Bucket, PlotEpisode, PlotSeries } from './plot-series.ts'

const WIDTH = 1200
const HEIGHT = 360
const STRIP_HEIGHT = 60
const DAY_MS = 86_400_000
const TICKS_MAX = 10
const TIME_STEPS_MS = [1, 5, 15, 60, 180, 360, 720, 1440, 2880, 10_080, 20_160].map(
  (minutes) => minutes * 60_000,
)

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
<span class="alert">alert</span>${series.gapsMs.length > 0 ? ' <span class="overdue">overdue</span>' : ''}</p>
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
line.alert{stroke:var(--mark);stroke-width:.8;opacity:.6}path.alert{fill:var(--mark)}
line.overdue{stroke:var(--mark);stroke-dasharray:3 3}
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
  return `<svg viewBox="-64 -12 ${WIDTH + 112} ${HEIGHT + STRIP_HEIGHT + 48}" role="img" aria-label="the series over time">
${gridOf(scale)}${alertsOf(series, scale)}${range}<path class="value" d="M${line}"/>
${scoreStrip(buckets, scale, raiseScore)}</svg>`
}

function gridOf({ x, y, fromMs, toMs, low, high }: Scale): string {
  const rows = ticksOf(low, high, valueStep(high - low)).map(
    (value) =>
      `<line class="grid" x2="${WIDTH}" y1="${y(value)}" y2="${y(value)}"/>` +
      `<text x="-6" y="${y(value)}" text-anchor="end" dy=".35em">${Number(value.toPrecision(6))}</text>`,
  )
  const stepMs = timeStepMs(toMs - fromMs)
  const bottom = HEIGHT + STRIP_HEIGHT + 12
  const columns = ticksOf(fromMs, toMs, stepMs).map((tsMs) => {
    const label = new Date(tsMs).toISOString().slice(0, stepMs < DAY_MS ? 16 : 10)
    const line = `<line class="grid" x1="${x(tsMs)}" x2="${x(tsMs)}" y2="${bottom}"/>`
    const text = `<text x="${x(tsMs)}" y="${bottom + 16}" text-anchor="middle">${label.replace('T', ' ')}</text>`
    return line + text
  })
  return [...rows, ...columns].join('\n')
}

/** Bands with a flag on top, so that the readings below stay in sight; what the pointer rests on tells its figures. */
function alertsOf({ episodes, gapsMs }: PlotSeries, { x, fromMs, toMs }: Scale): string {
  const bands = episodes.map((episode) => {
    const from = x(episode.startMs)
    const width = Math.max(1, Number(x(Math.min(episode.endMs, toMs))) - Number(from))
    const told = `<title>${cellsOf(episode).join(' \u00b7 ')}</title>`
    const rect = `<rect class="alert" x="${from}" width="${width.toFixed(1)}" height="${HEIGHT}"/>`
    const line = `<line class="alert" x1="${from}" x2="${from}" y2="${HEIGHT}"/>`
    return `<g>${told}${rect}${line}<path class="alert" d="M${from},0l-5,-8h10Z"/></g>`
  })
  const marks = gapsMs
    .filter((tsMs) => tsMs >= fromMs)
    .map((tsMs) => `<line class="overdue" x1="${x(tsMs)}" x2="${x(tsMs)}" y2="${HEIGHT}"/>`)
  return [...bands, ...marks].join('\n')
}

/** The multiples of `step` from `from` up to `to`. */
function ticksOf(from: number, to: number, step: number): number[] {
  const first = Math.ceil(from / step)
  const count = Math.max(0, Math.floor(to / step) - first + 1)
  return Array.from({ length: Math.min(count, TICKS_MAX) }, (_, i) => (first + i) * step)
}

/** 1, 2 or 5 times a power of ten, for at most six ticks. */
function valueStep(span: number): number {
  const power = 10 ** Math.floor(Math.log10(span / 5))
  return power * ([1, 2, 5].find((factor) => factor * power * 5 >= span) ?? 10)
}

/** For at most eight ticks; days when none is long enough. */
function timeStepMs(spanMs: number): number {
  return TIME_STEPS_MS.find((stepMs) => stepMs * 7 >= spanMs) ?? DAY_MS * Math.ceil(spanMs / DAY_MS / 7)
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
  const rows = episodes.map((episode) => `<tr><td>${cellsOf(episode).join('<td>')}`)
  return `<table><tr><th>raised<th>until<th>severity<th>score<th>value<th>expected\n${rows.join('\n')}</table>`
}

function cellsOf(episode: PlotEpisode): string[] {
  const { startMs, endMs, severity, score, value, expectedLow, expectedHigh } = episode
  const time = (tsMs: number) => new Date(tsMs).toISOString().slice(0, 19).replace('T', ' ')
  const isKnown = Number.isFinite(expectedLow) || Number.isFinite(expectedHigh)
  const bounds = [expectedLow, expectedHigh].map((bound) => (Number.isFinite(bound) ? short(bound) : ''))
  return [
    time(startMs),
    time(endMs),
    SEVERITIES[severity],
    score.toFixed(3),
    short(value),
    isKnown ? bounds.join(' to ') : 'unknown',
  ]
}

function short(value: number): string {
  return String(Number(value.toPrecision(5)))
}

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
