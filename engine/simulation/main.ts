/** `npm run simulate`: runs by the thousand over a pool of threads; says which seed failed, and what happened there last. */
import { availableParallelism } from 'node:os'
import { Piscina } from 'piscina'
import { countOption, readFlags, UsageError } from '../cli/command.ts'
import type { RunResult } from './simulation.ts'
import { runSimulationJob, type SimulationFindings, type SimulationJob } from './simulation-worker.ts'

const HELP = `npm run simulate -- [options]: whole pipelines on one thread each, with faults from a seed

  --runs N     how many (default 10000)
  --seed N     of the first run; the next one has the next (default 1)
  --threads N  (default: one for each processor)
  --json       the outcome as one JSON object
  --help

A run that fails is told with its seed and its last events: --seed SEED --runs 1 makes it again.
Exit codes: 0 all is well, 1 a promise was broken, 2 the options make no sense.
`

const ExitCode = { ok: 0, failed: 1, usage: 2 } as const
const OPTIONS = {
  runs: { type: 'string', default: '10000' },
  seed: { type: 'string', default: '1' },
  threads: { type: 'string', default: String(availableParallelism()) },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const
const COUNT_MAX = 999_999_999
const THREADS_MAX = 1024
const RUNS_PER_JOB = 20
const PROGRESS_INTERVAL_MS = 5000

interface Outcome {
  runs: number
  seconds: number
  messages: number
  acknowledged: number
  failed: RunResult | null
}

async function main(args: string[]): Promise<number> {
  const values = readFlags(args, OPTIONS)
  if (values.help) {
    process.stdout.write(HELP)
    return ExitCode.ok
  }
  const runs = countOption('runs', values.runs, 1, COUNT_MAX)
  const firstSeed = countOption('seed', values.seed, 0, COUNT_MAX)
  const threads = countOption('threads', values.threads, 1, THREADS_MAX)
  const outcome = await runAll(firstSeed, runs, threads, (done) => {
    const { seconds, acknowledged } = done
    const rate = (done.runs / seconds).toFixed(0)
    process.stderr.write(
      `simulate: ${done.runs} of ${runs} runs, ${rate} a second, ${acknowledged} acknowledged\n`,
    )
  })
  process.stdout.write(values.json ? `${JSON.stringify(outcome)}\n` : textOf(outcome, firstSeed))
  return outcome.failed === null ? ExitCode.ok : ExitCode.failed
}

/** Stops at the first failure; of several threads' failures the one with the smallest seed is told. */
async function runAll(
  firstSeed: number,
  runs: number,
  threads: number,
  onProgress: (outcome: Outcome) => void,
): Promise<Outcome> {
  const startMs = performance.now()
  const outcome: Outcome = { runs: 0, seconds: 0, messages: 0, acknowledged: 0, failed: null }
  const { run, close } = threads === 1 ? { run: runSimulationJob, close: async () => {} } : makePool(threads)
  let nextSeed = firstSeed
  let toldMs = startMs
  const lane = async () => {
    while (nextSeed < firstSeed + runs && outcome.failed === null) {
      const count = Math.min(RUNS_PER_JOB, firstSeed + runs - nextSeed)
      nextSeed += count
      add(outcome, await run({ firstSeed: nextSeed - count, count }))
      outcome.seconds = (performance.now() - startMs) / 1000
      if (performance.now() - toldMs < PROGRESS_INTERVAL_MS) continue
      toldMs = performance.now()
      onProgress(outcome)
    }
  }
  await Promise.all(Array.from({ length: threads }, lane))
  await close()
  return outcome
}

function makePool(threads: number) {
  const filename = new URL('./simulation-worker.ts', import.meta.url).href
  const pool = new Piscina({ filename, name: 'runSimulationJob', minThreads: threads, maxThreads: threads })
  const run = (job: SimulationJob): Promise<SimulationFindings> => pool.run(job)
  return { run, close: () => pool.close() }
}

function add(outcome: Outcome, { runs, messages, acknowledged, failed }: SimulationFindings): void {
  outcome.runs += runs
  outcome.messages += messages
  outcome.acknowledged += acknowledged
  if (failed !== null && (outcome.failed === null || failed.seed < outcome.failed.seed))
    outcome.failed = failed
}

function textOf({ runs, seconds, messages, acknowledged, failed }: Outcome, firstSeed: number): string {
  const summary =
    `${runs} runs from seed ${firstSeed} on in ${seconds.toFixed(1)} s (${(runs / seconds).toFixed(0)} a second): ` +
    `${messages} messages, ${acknowledged} acknowledged\n`
  if (failed === null) return `${summary}all promises kept\n`
  const again = `npm run simulate -- --seed ${failed.seed} --runs 1`
  return `${summary}${failed.trace.join('\n')}\nFAILED: ${failed.failure}\nagain: ${again}\n`
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  process.stderr.write(`simulate: ${error.message}; npm run simulate -- --help tells the options\n`)
  process.exitCode = ExitCode.usage
}
