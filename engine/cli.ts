#!/usr/bin/env node
/** The command line: picks the command, loads only what that needs, and turns its outcome into an exit code. */
import type { Address } from './address.ts'
import { type CommandIo, UsageError } from './cli/command.ts'
import type { DemoFleet } from './cli/start-command.ts'
import { VERSION } from './version.ts'

const HELP = `millrace: device telemetry in over MQTT and WebSocket, ClickHouse rows out

  millrace start [config.ts]   run the engine
  millrace check [config.ts]   say what a config would do
  millrace dry-run config.ts   say what a config would make of journalled messages
  millrace query "SQL"         run a query and print a table
  millrace audit               compare the ledger with the tables and the journal
  millrace dead-letters        list what could not be decoded, or send it again
  millrace device              register devices, and say what they may
  millrace detect FILE.csv...  find anomalies in recorded series
  millrace store               run the embedded ClickHouse alone
  millrace load                put load on an engine and verify what arrived

millrace COMMAND --help tells the options of one; millrace --version tells which this is.
`

type Command = (args: string[], io: CommandIo) => Promise<number>

const COMMANDS: Record<string, () => Promise<Command>> = {
  start: async () => {
    const { startCommand } = await import('./cli/start-command.ts')
    return (args, io) => startCommand(args, io, startDemoFleet)
  },
  check: async () => (await import('./cli/check-command.ts')).checkCommand,
  'dry-run': async () => (await import('./cli/dry-run-command.ts')).dryRunCommand,
  query: async () => (await import('./cli/query-command.ts')).queryCommand,
  audit: async () => (await import('./cli/audit-command.ts')).auditCommand,
  'dead-letters': async () => (await import('./cli/dead-letters-command.ts')).deadLettersCommand,
  device: async () => (await import('./cli/device-command.ts')).deviceCommand,
  detect: async () => (await import('./cli/detect-command.ts')).detectCommand,
  store: async () => (await import('./cli/store-command.ts')).storeCommand,
  load: async () => (await import('../loadgen/load-command.ts')).loadCommand,
}

/** The demo attacks from outside, as every load does: the engine itself does not know it. */
async function startDemoFleet(mqtt: Address): Promise<DemoFleet> {
  const { startDemo } = await import('../loadgen/demo.ts')
  return startDemo({ mqtt })
}

async function main(args: string[]): Promise<number> {
  const [name = '--help', ...rest] = args
  const { stdin, stdout, stderr, env } = process
  const io: CommandIo = { stdin, stdout, stderr, env }
  if (name === '--help' || name === '-h' || name === 'help') {
    io.stdout.write(HELP)
    return 0
  }
  if (name === '--version') {
    io.stdout.write(`millrace ${VERSION}\n`)
    return 0
  }
  if (!Object.hasOwn(COMMANDS, name)) {
    io.stderr.write(`millrace: there is no command ${JSON.stringify(name)}; millrace --help lists them\n`)
    return 2
  }
  try {
    const command = await COMMANDS[name]()
    return await command(rest, io)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    io.stderr.write(`millrace ${name}: ${error.message}; millrace ${name} --help tells the options\n`)
    return 2
  }
}

// SQLite, which holds the data directory's lock, is marked experimental in Node 22: the user need not read that.
process.removeAllListeners('warning')
process.on('warning', (warning) => {
  if (warning.name !== 'ExperimentalWarning')
    process.stderr.write(`millrace: ${warning.name}: ${warning.message}\n`)
})
process.exitCode = await main(process.argv.slice(2))
