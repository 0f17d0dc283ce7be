/** `millrace start`: reads options, runs the engine under its supervisor, says what happens, drains on a signal. */
import { constants } from 'node:os'
import type { Address } from '../address.ts'
import { EngineError } from '../engine-error.ts'
import { type Outcome, Supervisor } from '../supervisor.ts'
import { type CommandIo, readOptions, UsageError } from './command.ts'
import { createConsole, type StartConsole } from './start-console.ts'
import { START_OPTIONS, startOptions, startWarnings } from './start-options.ts'

const HELP = `millrace start [config.ts]: runs the engine

  --data DIR             its data (default ./millrace-data)
  --mqtt HOST:PORT       MQTT over TCP (default 127.0.0.1:1883); port 0 picks a free one, here and below
  --ws HOST:PORT         WebSocket: /mqtt and /ingest/{device} (default 127.0.0.1:8083)
  --mqtts HOST:PORT      MQTT over TLS 1.3 and 1.2, with these files (PEM), which are read again when they
  --wss HOST:PORT        change or on SIGHUP; --wss is --ws over TLS, without certificates of clients
  --tls-cert FILE        the server's certificate and those of its issuers
  --tls-key FILE         its key, without a passphrase
  --tls-client-cert HOW  require or request: clients of --mqtts show a certificate
  --tls-ca FILE          whose certificates those may be
  --proxy-protocol FROM  addresses and networks, comma separated, of load balancers that send the PROXY
                         protocol, version 2, to --mqtt, --mqtts and --ws; from there it is required
  --http HOST:PORT       /healthz, /readyz, /metrics (default 127.0.0.1:8080)
  --store HOST:PORT      SQL for analysts, ClickHouse's HTTP protocol (default 127.0.0.1:8123)
  --clickhouse URL       a ClickHouse server instead of the embedded one; user and password come from
                         MILLRACE_CLICKHOUSE_USER and MILLRACE_CLICKHOUSE_PASSWORD, or ..._PASSWORD_FILE
  --gateways N           threads that own connections; 0 runs gateway and shard on one thread
  --shards N             threads that own devices (both by default from the cores)
  --journal-max SIZE     how far the journal may grow while ClickHouse is away (default 8G)
  --no-restart           exit with 1 when the engine dies, for a service manager that starts things again;
                         else the engine is started again from its journal
  --allow-anonymous      let clients in without credentials, from everywhere; else they are let in from
                         this machine, until the first device is registered (millrace device)
  --demo, --no-demo      connect a demo fleet, or not
  --json                 events as JSON, one a line

MILLRACE_STORE_HOSTS (comma separated) names further hosts by which the SQL port may be called;
MILLRACE_STORE_PASSWORD is asked of those who call it.
SIGINT and SIGTERM drain: what was acknowledged is in ClickHouse before the engine ends.
`

const SIGNAL_REPEAT_MS = 1000

/** Simulated devices that somebody else connects. */
export interface DemoFleet {
  stop(): Promise<void>
}

export async function startCommand(
  args: string[],
  io: CommandIo,
  startDemo: (mqtt: Address) => Promise<DemoFleet>,
): Promise<number> {
  const { values, positionals } = readOptions(args, START_OPTIONS)
  if (values.help) {
    io.stdout.write(HELP)
    return 0
  }
  if (positionals.length > 1) throw new UsageError('takes one config file')
  // Who reads this may go away: devices need not notice.
  for (const stream of [io.stdout, io.stderr]) stream.on('error', () => {})
  const isDemo = values.demo && !values['no-demo']
  const terminal = createConsole(io, values.json, isDemo)
  // The demo lives here, not in the engine's process: like all devices it comes back when the engine does.
  let demo: Promise<DemoFleet> | null = null
  let supervisor: Supervisor
  let launchesTls: boolean
  try {
    const launch = startOptions(values, positionals[0], io.env)
    launchesTls = launch.tls !== null
    for (const warning of startWarnings(launch, io.env)) terminal.warning(warning)
    supervisor = new Supervisor(
      { launch, isRestarting: !values['no-restart'] },
      {
        onReady(addresses, enginePid) {
          terminal.ready(addresses, enginePid)
          if (isDemo) demo ??= startDemo(addresses.mqtt).catch((error) => withoutDemo(error, terminal))
        },
        onStatus: (figures) => terminal.status(figures),
        onReplaying: (doneBytes, totalBytes) => terminal.replaying(doneBytes, totalBytes),
        onFault: (fault) => terminal.fault(fault),
        onAlerts: (alerts) => terminal.alerts(alerts),
        onRefusals: (refusals) => terminal.refusals(refusals),
      },
    )
  } catch (error) {
    if (!(error instanceof EngineError)) throw error
    terminal.fault({ code: error.code, message: error.message, isOver: false })
    return 1
  }
  const drain = async () => {
    terminal.stopping()
    await (await demo)?.stop()
    supervisor.stop()
  }
  onSignals(drain, () => supervisor.kill())
  // To a process on a terminal it says that the terminal is gone.
  if (launchesTls && !io.stdout.isTTY) process.on('SIGHUP', () => supervisor.reload())
  return finish(await supervisor.run(), terminal)
}

/** The engine does its work without a demo, too. */
function withoutDemo(error: Error, terminal: StartConsole): DemoFleet {
  terminal.fault({ code: 'DEMO', message: `the demo can't start: ${error.message}`, isOver: false })
  return { stop: async () => {} }
}

/** Says how it ended, and returns the exit code. */
function finish(outcome: Outcome, terminal: StartConsole): number {
  switch (outcome.kind) {
    case 'stopped':
      terminal.stopped(outcome.figures?.rowsStored ?? 0, outcome.isDrained)
      return 0
    case 'refused':
      terminal.fault({ ...outcome, isOver: false })
      return 1
    case 'died': {
      const message = `engine died (${outcome.message}); start it again, the journal has what was acknowledged`
      terminal.fault({ code: 'ENGINE_DIED', message, isOver: false })
      return process.exit(1) // the demo may still be connecting
    }
  }
}

/**
 * The first SIGINT or SIGTERM drains; another one a second later or more kills the engine, and this process with it. (One
 * Ctrl-C may come twice: from the terminal, and passed on by npm.)
 */
function onSignals(drain: () => Promise<void>, kill: () => void): void {
  let firstMs = 0
  const onSignal = (signal: 'SIGINT' | 'SIGTERM') => {
    if (firstMs === 0) {
      firstMs = performance.now()
      void drain()
    } else if (performance.now() - firstMs > SIGNAL_REPEAT_MS) {
      kill()
      process.exit(128 + constants.signals[signal])
    }
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
}
