/**
 * The default detector on labelled series, through `millrace detect`, and what it costs. The series, labels
 * and scorers (the Numenta Anomaly Benchmark's rules; recall and false episodes over synthetic series) lie
 * outside the repository: MILLRACE_ANOMALY_DATA names the folder, ../shared/data/anomaly is tried. Without
 * them only the cost is measured.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Prng } from '../base/prng.ts'
import { StateWriter } from '../codecs/state.ts'
import { AdaptiveDetector } from '../operators/detect/adaptive.ts'
import { EwmaDetector } from '../operators/detect/ewma.ts'
import type { SeriesDetector } from '../operators/detect/series-detector.ts'
import type { Bench, BenchSize, Measure } from './bench.ts'
import { measureSelection } from './detection-selection.ts'

const ROOT = resolve(import.meta.dirname, '..')
const DATA = process.env.MILLRACE_ANOMALY_DATA ?? resolve(ROOT, '../shared/data/anomaly')
const KINDS = ['spike', 'level_shift', 'drift', 'stuck', 'gap', 'season_change', 'variance']

function runNode(args: string[]): string {
  return execFileSync(process.execPath, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
}

function detect(files: string[], directory: string, options: string[] = []): void {
  runNode([join(ROOT, 'engine/cli.ts'), 'detect', ...files, '--out', directory, ...options])
}

interface NabScore {
  score: number
  raw: number
  windows: number
  threshold: number
  fpRows: number
}

/** The standard profile over some of the files, with the threshold given, or the best one. */
function scoreNab(results: string, names: string[], threshold?: number): NabScore {
  const windows = JSON.parse(readFileSync(join(DATA, 'nab/windows.json'), 'utf8'))
  const some = join(results, 'windows.json')
  writeFileSync(some, JSON.stringify(Object.fromEntries(names.map((name) => [name, windows[name]]))))
  const args = [join(DATA, 'nab_score.mjs'), '--results', results, '--windows', some, '--json']
  if (threshold !== undefined) {
    const thresholds = join(results, 'thresholds.json')
    writeFileSync(thresholds, JSON.stringify({ standard: threshold }))
    args.push('--thresholds', thresholds)
  }
  return JSON.parse(runNode(args)).standard
}

/** With the best threshold for all files; and with each category's threshold chosen on the others. */
function measureNab(directory: string): Measure[] {
  const names = Object.keys(JSON.parse(readFileSync(join(DATA, 'nab/windows.json'), 'utf8')))
  const categories = [...new Set(names.map((name) => name.split('/')[0]))]
  for (const category of categories) {
    const folder = join(DATA, 'nab/data', category)
    const files = readdirSync(folder).map((name) => join(folder, name))
    mkdirSync(join(directory, category), { recursive: true })
    detect(files, join(directory, category))
  }
  const whole = scoreNab(directory, names)
  let raw = 0
  for (const category of categories) {
    const isOwn = (name: string) => name.startsWith(`${category}/`)
    const { threshold } = scoreNab(
      directory,
      names.filter((name) => !isOwn(name)),
    )
    raw += scoreNab(directory, names.filter(isOwn), threshold).raw
  }
  // A raw score of -w is a detector that never alerts, w a perfect one, for w windows.
  const left = 50 + (50 * raw) / whole.windows
  return [
    { name: 'NAB standard score, one threshold', value: whole.score, unit: 'of 100', atLeast: 70 },
    { name: 'NAB, threshold chosen without each category', value: left, unit: 'of 100', atLeast: 70 },
    { name: 'NAB, false alert rows', value: whole.fpRows, unit: 'rows' },
  ]
}

function measureSynthetic(directory: string): Measure[] {
  const folder = join(DATA, 'synth/data')
  mkdirSync(directory, { recursive: true })
  detect(
    readdirSync(folder).map((name) => join(folder, name)),
    directory,
    ['--with-gaps'],
  )
  const args = ['--alerts', directory, '--events', join(DATA, 'synth/events.json')]
  const report = runNode([join(DATA, 'synth_score.mjs'), ...args])
  const recall = (kind: string) => Number(new RegExp(`^${kind} .*= ([\\d.]+) `, 'm').exec(report)?.[1])
  const falseEpisodes = Number(/= ([\d.]+)\/day/.exec(report)?.[1])
  return [
    { name: 'synthetic recall', value: recall('ALL'), unit: 'of 1', atLeast: 0.93 },
    { name: 'false episodes', value: falseEpisodes, unit: 'per series-day', atMost: 0.1 },
    ...KINDS.map((kind) => ({
      name: `synthetic recall, ${kind.replace('_', ' ')}`,
      value: recall(kind),
      unit: 'of 1',
      atLeast: kind === 'stuck' || kind === 'gap' ? 1 : 0.8,
    })),
  ]
}

/** Of the default detector, and of the simplest one for scale. */
function measureCost(series: number, rounds: number): Measure[] {
  const detector = new AdaptiveDetector()
  const name = `${series.toLocaleString('en-US')} series`
  const ns = nsPerReading(detector, series, rounds)
  const state = new StateWriter()
  detector.save(state)
  return [
    { name, value: ns, unit: 'ns/reading', atMost: 500 },
    { name: `${name}, ewma`, value: nsPerReading(new EwmaDetector(), series, rounds), unit: 'ns/reading' },
    { name: `${name}, saved state`, value: state.sizeBytes / series, unit: 'bytes/series', atMost: 4096 },
  ]
}

/** A fleet with a daily rhythm and noise; the best chunk's CPU time. */
function nsPerReading(detector: SeriesDetector, series: number, rounds: number): number {
  const prng = new Prng(series)
  const noise = Float64Array.from({ length: 4096 }, () => prng.normal())
  const chunk = Math.max(1, Math.floor(100_000 / series))
  let tsMs = 1_700_000_000_000
  let ns = Number.POSITIVE_INFINITY
  for (let round = 0; round < rounds; round += chunk) {
    const start = process.cpuUsage()
    for (let i = 0; i < chunk; i++) {
      tsMs += 300_000
      const rhythm = 20 + 5 * Math.sin((tsMs / 86_400_000) * 2 * Math.PI)
      for (let s = 0; s < series; s++)
        detector.take(s, tsMs, rhythm + noise[(s * 7 + (round + i) * 13) & 4095])
    }
    const used = process.cpuUsage(start)
    ns = Math.min(ns, ((used.user + used.system) * 1000) / (chunk * series))
  }
  return ns
}

async function run(size: BenchSize): Promise<Measure[]> {
  if (size === 'small') return measureCost(1024, 20)
  const cost = [...measureCost(1024, 2000), ...measureCost(65_536, 60)]
  if (!existsSync(DATA)) return cost
  const directory = mkdtempSync(join(tmpdir(), 'millrace-detection-'))
  try {
    return [
      ...measureNab(join(directory, 'nab')),
      ...(await measureSelection(DATA)),
      ...measureSynthetic(join(directory, 'synth')),
      ...cost,
    ]
  } finally {
    rmSync(directory, { recursive: true })
  }
}

export const bench: Bench = {
  name: 'detection',
  about: 'the default detector: what it finds in labelled series, what it costs',
  run,
}
