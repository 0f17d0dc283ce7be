/**
 * `millrace detect`: runs files of series through a detector, many at a time, and writes a score for each
 * reading.
 */
import { mkdirSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { basename, dirname, resolve } from 'node:path'
import { Piscina } from 'piscina'
import { createDetector, DETECTOR_NAMES, LIMITS } from '../../operators/detect/detectors.ts'
import type { LimitSettings } from '../../operators/detect/fixed-limits.ts'
import { DetectorSettingsError } from '../../operators/detect/series-detector.ts'
import { printable } from '../audit/printable.ts'
import { type DetectJob, type DetectOutcome, MISSING } from '../detect/detect-file.ts'
import { detectFileJob } from '../detect/detect-worker.ts'
import { type CommandIo, readOptions, UsageError } from './command.ts'

const NAMES = [...DETECTOR_NAMES, MISSING]

const HELP = `millrace detect FILE.csv... --out DIR: finds anomalies in series of readings

  --detector NAME   ${NAMES.join(', ')} (default ${NAMES[0]})
  --low N, --high N, --hysteresis N
                    of the detector limits: an alert outside, until it is back inside by the hysteresis
  --out DIR         where the results go; it is made when it does not exist
  --with-gaps       also an extra row, without a value, where a reading is overdue; the detector missing finds these alone
  --plot            also a page DIR/FILE.html that shows the series, the expected range and the alerts

A file is CSV with a header that names the columns timestamp and value, a reading per line, in the order of
time. Times are ISO 8601, UTC unless they say otherwise, or an epoch number. A missing value is empty, NaN or
null. The result is DIR/FILE.csv with the columns timestamp, value and anomaly_score: a row for each reading; a
score of 0.5 or more is an alert. No score depends on what comes after it. Readings out of order score 0. In a series'
first two days all is new: ${DETECTOR_NAMES[0]} learns from them and raises no alert but for a value that got stuck.
The exit code is 1 when a file could not be read; the others are done all the same.
`

const OPTIONS = {
  detector: { type: 'string', default: DETECTOR_NAMES[0] },
  low: { type: 'string' },
  high: { type: 'string' },
  hysteresis: { type: 'string' },
  out: { type: 'string' },
  'with-gaps': { type: 'boolean', default: false },
  plot: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h' },
} as const

const THREADS_MAX = 8

type Values = ReturnType<typeof readOptions<typeof OPTIONS>>['values']

export async function detectCommand(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = readOptions(args, OPTIONS)
  if (values.help) {
    io.stdout.write(HELP)
    return 0
  }
  const jobs = jobsOf(values, positionals)
  const outcomes = await runJobs(jobs, (done, readings) => showProgress(io, done, jobs.length, readings))
  if (io.stderr.isTTY) io.stderr.write('\r\x1b[K')
  for (const outcome of outcomes) report(outcome, io)
  return outcomes.some(({ fault }) => fault !== undefined) ? 1 : 0
}

/** Throws UsageError. */
function jobsOf(values: Values, paths: string[]): DetectJob[] {
  const { detector, out } = values
  if (paths.length === 0) throw new UsageError('takes at least one file')
  if (out === undefined) throw new UsageError('needs --out DIR')
  if (!NAMES.includes(detector)) {
    throw new UsageError(`there is no detector ${JSON.stringify(detector)}, but ${NAMES.join(', ')}`)
  }
  const limits = limitsOf(values)
  const names = new Map<string, string>()
  for (const path of paths) {
    const other = names.get(basename(path))
    if (other !== undefined) throw new UsageError(`${other} and ${path} would give the same result file`)
    if (resolve(dirname(path)) === resolve(out)) throw new UsageError(`${path} lies in --out itself`)
    names.set(basename(path), path)
  }
  try {
    mkdirSync(out, { recursive: true })
  } catch (error) {
    throw new UsageError(`--out: ${(error as Error).message}`)
  }
  const { plot } = values
  return paths.map((path) => ({
    path,
    directory: out,
    detector,
    limits,
    withGaps: values['with-gaps'],
    plot,
  }))
}

function limitsOf(values: Values): Partial<LimitSettings> {
  const limits: Partial<LimitSettings> = {}
  for (const name of ['low', 'high', 'hysteresis'] as const) {
    const text = values[name]
    if (text === undefined) continue
    if (values.detector !== LIMITS) throw new UsageError(`--${name} is for --detector ${LIMITS}`)
    limits[name] = text.trim() === '' ? Number.NaN : Number(text)
    if (!Number.isFinite(limits[name]))
      throw new UsageError(`--${name} takes a number, not ${JSON.stringify(text)}`)
  }
  if (values.detector !== LIMITS) return limits
  if (limits.low === undefined && limits.high === undefined) {
    throw new UsageError(`the detector ${LIMITS} needs --low, --high or both`)
  }
  try {
    createDetector(LIMITS, limits)
  } catch (error) {
    if (error instanceof DetectorSettingsError) throw new UsageError(error.message)
    throw error
  }
  return limits
}

/** The outcomes in the order of the jobs; the largest files begin. */
async function runJobs(
  jobs: DetectJob[],
  onProgress: (done: number, readings: number) => void,
): Promise<DetectOutcome[]> {
  const pool = new Piscina<DetectJob, DetectOutcome>({
    filename: new URL('../detect/detect-worker.ts', import.meta.url).href,
    name: detectFileJob.name,
    minThreads: 1,
    maxThreads: Math.min(jobs.length, availableParallelism(), THREADS_MAX),
  })
  const outcomes: DetectOutcome[] = []
  let done = 0
  let readings = 0
  pool.on('message', (more: number) => {
    readings += more
    onProgress(done, readings)
  })
  const sizes = jobs.map(({ path }) => statSync(path, { throwIfNoEntry: false })?.size ?? 0)
  const order = jobs.map((_, i) => i).sort((a, b) => sizes[b] - sizes[a])
  try {
    await Promise.all(
      order.map(async (i) => {
        outcomes[i] = await pool.run(jobs[i])
        onProgress(++done, readings)
      }),
    )
    return outcomes
  } finally {
    await pool.destroy()
  }
}

function showProgress(io: CommandIo, done: number, count: number, readings: number): void {
  if (!io.stderr.isTTY) return
  io.stderr.write(`\r\x1b[K${done} of ${count} files, ${readings.toLocaleString('en-US')} readings`)
}

function report({ path, readings, episodes, gaps, skipped, fault }: DetectOutcome, io: CommandIo): void {
  if (fault !== undefined) {
    io.stderr.write(`millrace detect: ${printable(path)}: ${printable(fault)}\n`)
    return
  }
  const plural = (count: number, noun: string) => `${count} ${noun}${count === 1 ? '' : 's'}`
  const parts = [plural(readings, 'reading'), plural(episodes, 'alert')]
  if (gaps > 0) parts.push(gaps === 1 ? 'once overdue' : `${gaps} times overdue`)
  if (skipped > 0) parts.push(`${skipped} without a value or out of order`)
  io.stdout.write(`${printable(path)}: ${parts.join(', ')}\n`)
}
