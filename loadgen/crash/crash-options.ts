/** `npm run crash`: its options, their defaults, and what makes no sense. */
import { type ParseArgsConfig, parseArgs } from 'node:util'
import type { CrashOptions } from './crash-contract.ts'
import type { Redelivery } from './device-link.ts'
import { type Fault, isProxyFault, isRoundFault, PROXY_FAULTS, ROUND_FAULTS } from './faults.ts'

export const HELP = `npm run crash -- [options]: kills an engine under load, again and again, and counts what is left

  --rounds N           rounds, a fault each (default 100; 0 when there are only faults at the proxy)
  --faults LIST        of ${ROUND_FAULTS.slice(0, 5).join(', ')},
                       ${ROUND_FAULTS.slice(5).join(', ')} (SIGTERM and start), and, at a proxy before \`millrace store\`,
                       ${PROXY_FAULTS.join(', ')};
                       rounds or proxy for all of a kind (default kill-engine,kill-store,kill-both)
  --count N            faults at the proxy before the run may end (default 1000 without rounds, else 0)
  --seed N             decides all that can be decided (default: by chance, and printed)
  --redelivery KIND    how devices send again what was not acknowledged: dup, anew (as new messages, which may be
                       stored again), or both, by the round (default both)
  --check-every N      after so many rounds the load pauses for a quick count (default 10; 0 never)
  --gateways N         threads of the engine (default by the seed)
  --shards N
  --directory DIR      where the run's directory goes (default: the system's for temporary files)
  --keep               keep the run's directory also when all is well
  --json               the report as one JSON object
  --help

Exit codes: 0 all is well, 1 a promise was broken, 2 the options make no sense. A failed run's directory is kept.
`

const OPTIONS = {
  rounds: { type: 'string' },
  faults: { type: 'string', default: 'kill-engine,kill-store,kill-both' },
  count: { type: 'string' },
  seed: { type: 'string' },
  redelivery: { type: 'string', default: 'both' },
  'check-every': { type: 'string', default: '10' },
  gateways: { type: 'string' },
  shards: { type: 'string' },
  directory: { type: 'string' },
  keep: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

/** Threads of the engine: gateways and shards. */
const SHAPES = [
  [1, 1],
  [2, 2],
  [0, 1],
  [1, 3],
] as const
export const SEED_MAX = 2 ** 32 - 1

export class UsageError extends Error {
  readonly code = 'USAGE'
}

/** Null: help is wanted. Throws UsageError. */
export function readCrashOptions(args: string[]): { run: CrashOptions; isJson: boolean } | null {
  const values = readFlags(args, OPTIONS)
  if (values.help) return null
  const faults = faultsOf(values.faults)
  const hasRounds = faults.some(isRoundFault)
  const isProxied = faults.some(isProxyFault)
  const seed = wholeNumber('seed', values.seed, Math.floor(Math.random() * SEED_MAX), SEED_MAX)
  const [gateways, shards] = SHAPES[seed % SHAPES.length]
  if (!hasRounds && values.rounds !== undefined)
    throw new UsageError('--rounds: none of the faults comes in rounds')
  if (!isProxied && values.count !== undefined)
    throw new UsageError('--count counts faults at the proxy, and none was asked for')
  const run: CrashOptions = {
    seed,
    rounds: wholeNumber('rounds', values.rounds, hasRounds ? 100 : 0, 100_000),
    faults,
    proxyFaultCount: wholeNumber('count', values.count, hasRounds || !isProxied ? 0 : 1000, 10_000_000),
    redeliveries: redeliveriesOf(values.redelivery),
    checkEvery: wholeNumber('check-every', values['check-every'], 10, 100_000),
    gateways: wholeNumber('gateways', values.gateways, gateways, 16),
    shards: wholeNumber('shards', values.shards, values.gateways === '0' ? 1 : shards, 16),
    keepDirectory: values.keep,
  }
  if (values.directory !== undefined) run.parentDirectory = values.directory
  if (run.shards < 1 || (run.gateways === 0 && run.shards > 1))
    throw new UsageError('there must be a shard, and with --gateways 0 there is one')
  return { run, isJson: values.json }
}

export function readFlags<T extends NonNullable<ParseArgsConfig['options']>>(args: string[], options: T) {
  try {
    return parseArgs({ args, options, strict: true }).values
  } catch (error) {
    throw new UsageError((error as Error).message.split('. ')[0])
  }
}

function faultsOf(text: string): Fault[] {
  const faults: Fault[] = []
  for (const name of text.split(',')) {
    if (name === 'rounds') faults.push(...ROUND_FAULTS)
    else if (name === 'proxy') faults.push(...PROXY_FAULTS)
    else if (isRoundFault(name) || isProxyFault(name)) faults.push(name)
    else throw new UsageError(`there is no fault ${JSON.stringify(name)}`)
  }
  return faults
}

function redeliveriesOf(text: string): Redelivery[] {
  if (text === 'both') return ['dup', 'anew']
  if (text === 'dup' || text === 'anew') return [text]
  throw new UsageError(`--redelivery takes dup, anew or both, not ${JSON.stringify(text)}`)
}

export function wholeNumber(name: string, text: string | undefined, otherwise: number, max: number): number {
  if (text === undefined) return otherwise
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (value <= max) return value
  throw new UsageError(`--${name} takes a whole number up to ${max}, not ${JSON.stringify(text)}`)
}
