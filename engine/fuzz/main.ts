/** `npm run fuzz`: mutated packets by the million against the gateway; tells the seed that broke it, a hang, or growth. */
import { availableParallelism } from 'node:os'
import { Piscina } from 'piscina'
import { countOption, readFlags, UsageError } from '../cli/command.ts'
import type { FuzzFindings, FuzzJob } from './fuzz-worker.ts'
import { MUTATIONS_PER_RUN } from './gateway-fuzz.ts'
import { fuzzSockets } from './socket-fuzz.ts'

const HELP = `npm run fuzz -- [options]: packets that are almost right, of both versions, against the gateway

  --mutations N  how many (default 10000000)
  --seed N       of the first run; each run of some ${MUTATIONS_PER_RUN} has the next (default 1)
  --threads N    (default: one for each processor)
  --help         this text

Then some go over real sockets, and a hundred first packets claim 100 MB each. A run that fails is told with its
seed: --seed SEED --mutations 1 makes it again. Exit codes: 0 all is well, 1 something broke, 2 the options make no sense.
`

const OPTIONS = {
  mutations: { type: 'string', default: '10000000' },
  seed: { type: 'string', default: '1' },
  threads: { type: 'string', default: String(availableParallelism()) },
  help: { type: 'boolean', default: false },
} as const
const COUNT_MAX = 999_999_999
const THREADS_MAX = 1024
const RUNS_PER_JOB = 20
/** A job takes seconds, on a machine that is busy a minute. */
const HANG_MS = 600_000
const PROGRESS_INTERVAL_MS = 5000
const GROWTH_SIZE_BYTES_MAX = 32 << 20

class Broken extends Error {}

async function main(args: string[]): Promise<number> {
  const values = readFlags(args, OPTIONS)
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  const seed = countOption('seed', values.seed, 0, COUNT_MAX)
  const mutations = countOption('mutations', values.mutations, 1, COUNT_MAX)
  await fuzzMemory(seed, mutations, countOption('threads', values.threads, 1, THREADS_MAX))
  const { connections, grownSizeBytes } = await fuzzSockets(seed, Math.min(2000, Math.ceil(mutations / 50)))
  const grown = (grownSizeBytes / 1e6).toFixed(1)
  process.stdout.write(
    `${connections} connections on real sockets; a hundred claims of 100 MB: ${grown} MB\n`,
  )
  process.stdout.write('nothing broke\n')
  return 0
}

/** Gateways in memory, one run after the other on each thread. */
async function fuzzMemory(firstSeed: number, mutations: number, threads: number): Promise<void> {
  const filename = new URL('./fuzz-worker.ts', import.meta.url).href
  const pool = new Piscina({
    filename,
    name: 'runFuzzJob',
    minThreads: threads,
    maxThreads: threads,
    concurrentTasksPerWorker: 1,
  })
  const startMs = performance.now()
  const total = { mutations: 0, ended: 0, records: 0 }
  const used: number[] = []
  let nextSeed = firstSeed
  let toldMs = startMs
  const lane = async (): Promise<void> => {
    while (total.mutations < mutations) {
      const left = Math.ceil((mutations - total.mutations) / threads / MUTATIONS_PER_RUN)
      const job: FuzzJob = { firstSeed: nextSeed, runs: Math.min(RUNS_PER_JOB, left) }
      nextSeed += job.runs
      const findings = await runJob(pool, job)
      total.mutations += findings.mutations
      total.ended += findings.ended
      total.records += findings.records
      used.push(findings.usedSizeBytes)
      if (performance.now() - toldMs < PROGRESS_INTERVAL_MS) continue
      toldMs = performance.now()
      process.stderr.write(`fuzz: ${total.mutations} of ${mutations} mutations, at seed ${nextSeed}\n`)
    }
  }
  try {
    await Promise.all(Array.from({ length: threads }, lane))
  } finally {
    await pool.destroy()
  }
  const grownSizeBytes = grownBy(used)
  if (grownSizeBytes > GROWTH_SIZE_BYTES_MAX)
    throw new Broken(`memory in use grew by ${grownSizeBytes} bytes`)
  const seconds = (performance.now() - startMs) / 1000
  const rate = Math.round(total.mutations / seconds)
  process.stdout.write(
    `${total.mutations} mutations from seed ${firstSeed} on in ${seconds.toFixed(1)} s (${rate} a second): ` +
      `${total.records} messages taken, ${total.ended} connections ended, ` +
      `memory in use grew by ${(grownSizeBytes / 1e6).toFixed(1)} MB\n`,
  )
}

async function runJob(pool: Piscina, job: FuzzJob): Promise<FuzzFindings> {
  const signal = AbortSignal.timeout(HANG_MS)
  try {
    return await pool.run(job, { signal })
  } catch (error) {
    const { firstSeed, runs } = job
    if (!signal.aborted) throw new Broken((error as Error).message)
    throw new Broken(
      `no end after ${HANG_MS / 1000} s: --seed ${firstSeed} --mutations ${runs * MUTATIONS_PER_RUN}`,
    )
  }
}

/** Between the lowest of the first and of the last jobs: once everything has been used, nothing more is kept. */
function grownBy(used: readonly number[]): number {
  const part = Math.max(1, used.length >> 2)
  return Math.max(0, Math.min(...used.slice(-part)) - Math.min(...used.slice(0, part)))
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (error instanceof UsageError) {
    process.stderr.write(`fuzz: ${error.message}; npm run fuzz -- --help tells the options\n`)
    process.exitCode = 2
  } else {
    process.stderr.write(`FAILED: ${error instanceof Broken ? error.message : (error as Error).stack}\n`)
    process.exitCode = 1
  }
}
