/** `millrace store`: the embedded ClickHouse alone. */
import { formatAddress } from '../address.ts'
import { StoreStartError } from '../store/errors.ts'
import { runStore } from '../store/standalone.ts'
import { addressOption, type CommandIo, readOptions, UsageError } from './command.ts'

const HELP = `millrace store: runs the embedded ClickHouse alone

  --data DIR           its directory (default ./millrace-store)
  --listen HOST:PORT   where it speaks ClickHouse's HTTP protocol (default 127.0.0.1:8123; port 0 picks
                       a free one)
  --writable           take inserts and DDL too: for an engine that runs with --clickhouse http://HOST:PORT
                       (beyond loopback only with a password in MILLRACE_STORE_PASSWORD)
  --json               events as JSON, one a line

MILLRACE_STORE_HOSTS (comma separated) names further hosts by which it may be called. It answers to localhost
and, beyond loopback, to IP addresses and names without a dot.
`

export async function storeCommand(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = readOptions(args, {
    data: { type: 'string', default: './millrace-store' },
    listen: { type: 'string', default: '127.0.0.1:8123' },
    writable: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h' },
  })
  if (values.help) {
    io.stdout.write(HELP)
    return 0
  }
  if (positionals.length > 0) throw new UsageError(`takes no ${JSON.stringify(positionals[0])}`)
  try {
    const store = await runStore({
      directory: values.data,
      listen: addressOption('listen', values.listen),
      writable: values.writable,
    })
    const address = store.address === null ? '' : formatAddress(store.address)
    io.stdout.write(
      values.json
        ? `${JSON.stringify({ event: 'ready', store: address, pid: process.pid })}\n`
        : `store  http://${address}  (ClickHouse's HTTP protocol${values.writable ? ', writable' : ', read-only'})\n`,
    )
    const stop = () => void store.stop()
    process.once('SIGINT', stop)
    process.once('SIGTERM', stop)
    const { code, signal } = await store.exited
    return signal === null ? (code ?? 0) : 1
  } catch (error) {
    if (!(error instanceof StoreStartError)) throw error
    io.stderr.write(`millrace store: ${error.message}\n`)
    return 1
  }
}
