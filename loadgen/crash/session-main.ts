/** `npm run crash:sessions`: reads the options, runs, prints, and turns the outcome into an exit code. */
import { parseArgs } from 'node:util'
import { runSessionCrash } from './session-crash.ts'

const HELP = `npm run crash:sessions -- [options]: kills an engine that keeps sessions, again and again, and counts what its clients heard

  --rounds N      kills (default 50)
  --seed N        decides all that can be decided (default: by chance, and printed)
  --gateways N    threads of the engine (default 2)
  --shards N      (default 1)
  --directory DIR where the run's directory goes (default: the system's for temporary files)
  --help
`

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '50' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 32)) },
    gateways: { type: 'string', default: '2' },
    shards: { type: 'string', default: '1' },
    directory: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) process.stdout.write(HELP)
else {
  const [seed, rounds, gateways, shards] = [values.seed, values.rounds, values.gateways, values.shards].map(
    Number,
  )
  process.stderr.write(`crash:sessions: --seed ${seed} --gateways ${gateways} --shards ${shards}\n`)
  const options = { seed, rounds, gateways, shards, parentDirectory: values.directory }
  const { failures, directory, ...figures } = await runSessionCrash(options, (round) => {
    process.stderr.write(`round ${round} of ${rounds}\n`)
  })
  process.stdout.write(`${JSON.stringify(figures)}\n`)
  for (const failure of failures) process.stdout.write(`FAILED: ${failure}\n`)
  if (failures.length > 0) process.stdout.write(`the run is kept in ${directory}\n`)
  process.exitCode = failures.length === 0 ? 0 : 1
}
