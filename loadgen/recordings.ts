/**
 * Reads the recorded series in `recordings/` (Numenta Anomaly Benchmark). Strict: a file that is not exactly
 * `timestamp,value` rows is an error with its line, never a series with holes. Cold path.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'

export interface Recording {
  /** The file's name without its ending, fit for a topic level and a device name. */
  name: string
  /** The folder it lies in: `realTraffic`. */
  category: string
  /** Milliseconds since the epoch; the files name no zone, read as UTC. */
  tsMs: Float64Array
  value: Float64Array
}

export class RecordingError extends Error {
  readonly code = 'RECORDING'
}

const RECORDINGS_DIRECTORY = join(import.meta.dirname, 'recordings')
const HEADER = 'timestamp,value'
const ROW = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.0+)?,(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)$/

/** All recordings below a directory, in the order of category and name. */
export function readRecordings(directory = RECORDINGS_DIRECTORY): Recording[] {
  const recordings: Recording[] = []
  const categories = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  for (const category of categories.map((entry) => entry.name).sort()) {
    const files = readdirSync(join(directory, category)).filter((file) => file.endsWith('.csv'))
    for (const file of files.sort()) {
      const text = readFileSync(join(directory, category, file), 'utf8')
      const series = parseRecording(text, `${category}/${file}`)
      recordings.push({ name: deviceName(basename(file, '.csv')), category, ...series })
    }
  }
  return recordings
}

/** Rows of one file. `source` names it in errors. Throws RecordingError. */
export function parseRecording(text: string, source: string): { tsMs: Float64Array; value: Float64Array } {
  const lines = text.split(/\r?\n/)
  if (lines.at(-1) === '') lines.pop()
  if (lines[0] !== HEADER) throw new RecordingError(`${source}: the first line must be "${HEADER}"`)
  if (lines.length < 2) throw new RecordingError(`${source}: no readings`)
  const tsMs = new Float64Array(lines.length - 1)
  const value = new Float64Array(lines.length - 1)
  for (let row = 0; row < tsMs.length; row++) {
    const fields = ROW.exec(lines[row + 1])
    tsMs[row] = fields ? Date.parse(`${fields[1]}T${fields[2]}Z`) : Number.NaN
    value[row] = fields ? Number(fields[3]) : Number.NaN
    if (!Number.isFinite(tsMs[row]) || !Number.isFinite(value[row])) {
      throw new RecordingError(`${source}:${row + 2}: expected "YYYY-MM-DD HH:MM:SS,number"`)
    }
  }
  return { tsMs, value }
}

/** A file's name as a device's: what a topic level or a URL would not take becomes `_`. */
function deviceName(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9_-]/g, '_')
}
