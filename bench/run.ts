/**
 * `npm run bench [-- NAME...] [--json] [--size small|full]`: runs the benches one after the other, each in
 * its own process, and judges every figure that has a limit. Exit code 1 when a bench fails or a limit is
 * missed.
 */
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import type { BenchSize, Measure } from './bench.ts'
import { findBenches, runIsolated } from './catalogue.ts'

const HELP = `npm run bench [-- NAME...] [--json] [--size small|full]

  NAME    which benches to run; all of them when none is named
  --json  one JSON object per line
  --size  full (the default) is judged by its limits; small only shows that the benches run
  --help  this text

Benches: ${findBenches().join(', ')}`

interface Request {
  names: string[]
  isJson: boolean
  size: BenchSize
}

/**
 * What was asked for; undefined when the answer is the help text. Throws a plain Error on a bad command line.
 */
function readRequest(): Request | undefined {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      size: { type: 'string', default: 'full' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return undefined
  if (values.size !== 'small' && values.size !== 'full')
    throw new Error(`--size is small or full, not ${values.size}`)
  const known = findBenches()
  const unknown = positionals.find((name) => !known.includes(name))
  if (unknown !== undefined) throw new Error(`no bench is called ${unknown}; there are ${known.join(', ')}`)
  return { names: positionals.length > 0 ? positionals : known, isJson: values.json, size: values.size }
}

/** True when the figure keeps its limit; undefined when it has none or the size is not judged. */
function judge(measure: Measure, size: BenchSize): boolean | undefined {
  if (size !== 'full' || (measure.atMost === undefined && measure.atLeast === undefined)) return undefined
  return measure.value <= (measure.atMost ?? Infinity) && measure.value >= (measure.atLeast ?? -Infinity)
}

function formatValue(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: value < 10 ? 2 : value < 1000 ? 1 : 0 })
}

function describe(measure: Measure, hasHeld: boolean | undefined): string {
  const limits: string[] = []
  if (measure.atMost !== undefined) limits.push(`at most ${formatValue(measure.atMost)}`)
  if (measure.atLeast !== undefined) limits.push(`at least ${formatValue(measure.atLeast)}`)
  const verdict = hasHeld === undefined ? '' : hasHeld ? ': held' : ': MISSED'
  const tail = limits.length > 0 ? `  [${limits.join(', ')}${verdict}]` : ''
  return `  ${measure.name.padEnd(52)} ${formatValue(measure.value).padStart(12)} ${measure.unit}${tail}`
}

/** Runs one bench and prints it; false when it failed or missed a limit. */
async function runAndPrint(name: string, request: Request): Promise<boolean> {
  const print = (event: object, text: string) => console.log(request.isJson ? JSON.stringify(event) : text)
  try {
    const { about, measures } = await runIsolated(name, request.size)
    if (!request.isJson) console.log(`\n${name}: ${about}`)
    let haveAllHeld = true
    for (const measure of measures) {
      const hasHeld = judge(measure, request.size)
      if (hasHeld === false) haveAllHeld = false
      print({ event: 'measure', bench: name, ...measure, held: hasHeld }, describe(measure, hasHeld))
    }
    return haveAllHeld
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    print({ event: 'fault', bench: name, message }, `\nFAILED ${message}`)
    return false
  }
}

async function main(request: Request): Promise<boolean> {
  const machine = {
    event: 'machine',
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    node: process.version,
    load: Number(loadavg()[0].toFixed(2)),
    size: request.size,
  }
  const { cpu, cores, node, load, size } = machine
  const header = `${cpu}, ${cores} cores, Node ${node}, load ${load}, size ${size}`
  console.log(request.isJson ? JSON.stringify(machine) : header)
  let isGood = true
  for (const name of request.names) if (!(await runAndPrint(name, request))) isGood = false
  return isGood
}

try {
  const request = readRequest()
  if (request === undefined) console.log(HELP)
  else process.exitCode = (await main(request)) ? 0 : 1
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
