/** `npm run crash:sessions`: reads the options, runs, prints, and turns the outcome into an exit code. */
import { readFlags, SEED_MAX, UsageError, wholeNumber } from './crash-options.ts'
import { runSessionCrash } from './session-crash.ts'

const HELP = `npm run crash:sessions -- [options]: kills an engine that keeps sessions, again and again, and counts what its clients heard

  --rounds N      kills (default 50)
  --seed N        decides all that can be decided (default: by chance, and printed)
  --gateways N    threads of the engine (default 2)
  --shards N      (default 1)
  --directory DIR where the run's directory goes (default: the system's for temporary files)
  --help
`

const OPTIONS = {
  rounds: { type: 'string' },
  seed: { type: 'string' },
  gateways: { type: 'string' },
  shards: { type: 'string' },
  directory: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const

async function main(args: string[]): Promise<number> {
  const values = readFlags(args, OPTIONS)
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  const seed = wholeNumber('seed', values.seed, Math.floor(Math.random() * SEED_MAX), SEED_MAX)
  const rounds = wholeNumber('rounds', values.rounds, 50, 100_000)
  const gateways = wholeNumber('gateways', values.gateways, 2, 16)
  const shards = wholeNumber('shards', values.shards, 1, 16)
  if (shards < 1 || (gateways === 0 && shards > 1))
    throw new UsageError('there must be a shard, and with --gateways 0 there is one')
  process.stderr.write(`crash:sessions: --seed ${seed} --gateways ${gateways} --shards ${shards}\n`)
  const options = { seed, rounds, gateways, shards, parentDirectory: values.directory }
  const { failures, directory, ...figures } = await runSessionCrash(options, (round) => {
    process.stderr.write(`round ${round} of ${rounds}\n`)
  })
  process.stdout.write(`${JSON.stringify(figures)}\n`)
  for (const failure of failures) process.stdout.write(`FAILED: ${failure}\n`)
  if (failures.length > 0) process.stdout.write(`the run is kept in ${directory}\n`)
  return failures.length === 0 ? 0 : 1
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  process.stderr.write(
    `crash:sessions: ${error.message}; npm run crash:sessions -- --help tells the options\n`,
  )
  process.exitCode = 2
}
