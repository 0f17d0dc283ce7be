/**
 * Runs one file through a detector, reading by reading, and writes a row for each. The result takes its name
 * only when it is complete. A fault of the file is a DetectFault that names it; the process or thread that
 * called owns everything.
 */
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { rename, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { createDetector } from '../../operators/detect/detectors.ts'
import { EpisodeState, Episodes } from '../../operators/detect/episodes.ts'
import type { LimitSettings } from '../../operators/detect/fixed-limits.ts'
import { Heartbeat } from '../../operators/detect/heartbeat.ts'
import { RAISE_SCORE } from '../../operators/detect/series-detector.ts'
import { CsvError, readCsvSeries, timeLike } from './csv-series.ts'
import { plotPage } from './plot-page.ts'
import { PlotSeries } from './plot-series.ts'

export interface DetectJob {
  path: string
  directory: string
  detector: string
  limits: Partial<LimitSettings>
  withGaps: boolean
  plot: boolean
}

export interface DetectOutcome {
  path: string
  readings: number
  episodes: number
  gaps: number
  /** Readings with no usable value, or earlier than their predecessor: not judged. */
  skipped: number
  /** Set when the file could not be read or its result not written; the rest is then of no meaning. */
  fault?: string
}

const WRITE_CHARS = 1 << 16
const HEADER = 'timestamp,value,anomaly_score\n'

/** Judges no reading: what it finds are overdue ones. */
export const MISSING = 'missing'
const NOTHING_EXPECTED = { expectedLow: Number.NaN, expectedHigh: Number.NaN }

/** Never rejects for what is wrong with a file. `onProgress` hears now and then how many more readings were taken. */
export async function detectFile(
  job: DetectJob,
  onProgress: (readings: number) => void = () => {},
): Promise<DetectOutcome> {
  const outcome = { path: job.path, readings: 0, episodes: 0, gaps: 0, skipped: 0 }
  const target = join(job.directory, basename(job.path))
  const partial = `${target}.partial`
  try {
    await detectInto(partial, job, outcome, onProgress)
    await rename(partial, target)
    return outcome
  } catch (error) {
    await rm(partial, { force: true })
    if (error instanceof CsvError) return { ...outcome, fault: error.message }
    if (error instanceof Error && 'syscall' in error) return { ...outcome, fault: error.message }
    throw error
  }
}

async function detectInto(
  partial: string,
  job: DetectJob,
  outcome: DetectOutcome,
  onProgress: (readings: number) => void,
): Promise<void> {
  const detector = job.detector === MISSING ? undefined : createDetector(job.detector, job.limits)
  if (detector === undefined && job.detector !== MISSING)
    throw new Error(`no detector is called ${job.detector}`)
  const withGaps = job.withGaps || detector === undefined
  const episodes = new Episodes()
  const heartbeat = new Heartbeat()
  const plot = new PlotSeries()
  const out = createWriteStream(partial)
  let text = HEADER
  let told = 0
  try {
    await once(out, 'open')
    for await (const reading of readCsvSeries(job.path)) {
      const { tsMs, value } = reading
      if (withGaps) {
        const dueMs = Math.ceil(heartbeat.dueMs(0) / 1000) * 1000
        if (dueMs < tsMs) {
          heartbeat.tick(dueMs)
          outcome.gaps += heartbeat.overdue.length
          text += `${timeLike(reading.timeText, dueMs)},,1\n`
          plot.addGap(dueMs)
        }
        heartbeat.beat(0, tsMs)
      }
      const score = detector?.take(0, tsMs, value) ?? 0
      const { expectedLow, expectedHigh } = detector ?? NOTHING_EXPECTED
      episodes.take(0, tsMs, value, score, expectedLow, expectedHigh)
      if (job.plot) plot.add(tsMs, value, score, expectedLow, expectedHigh)
      takeEpisodes(episodes, plot, outcome)
      outcome.readings++
      text += `${reading.timeText},${reading.valueText},${formatScore(score)}\n`
      if (text.length > WRITE_CHARS) {
        if (!out.write(text)) await once(out, 'drain')
        text = ''
        onProgress(outcome.readings - told)
        told = outcome.readings
      }
    }
    outcome.skipped = detector?.skipped ?? 0
    out.end(text)
    await once(out, 'close')
  } finally {
    out.destroy()
  }
  if (job.plot) await writePlot(job, plot)
}

function takeEpisodes(episodes: Episodes, plot: PlotSeries, outcome: DetectOutcome): void {
  const { rows } = episodes
  for (let i = 0; i < rows.count; i++) {
    if (rows.state[i] === EpisodeState.raised) outcome.episodes++
    plot.addEpisode(rows.state[i], {
      startMs: rows.startMs[i],
      endMs: rows.tsMs[i],
      severity: rows.severity[i],
      score: rows.score[i],
      value: rows.value[i],
      expectedLow: rows.expectedLow[i],
      expectedHigh: rows.expectedHigh[i],
    })
  }
  rows.clear()
}

/** Enough digits to tell scores apart, and no exponent that a reader might trip over. */
function formatScore(score: number): string {
  return score === 0 ? '0' : score.toFixed(6)
}

async function writePlot(job: DetectJob, plot: PlotSeries): Promise<void> {
  const name = basename(job.path)
  const page = plotPage({ title: name, detector: job.detector, raiseScore: RAISE_SCORE }, plot)
  await writeFile(join(job.directory, `${name.replace(/\.csv$/i, '')}.html`), page)
}
