/** `millrace query "SQL"`: asks ClickHouse and prints a table. */
import { formatAddress } from '../address.ts'
import { queryTable } from '../store/query-table.ts'
import { addressOption, type CommandIo, readOptions, UsageError } from './command.ts'

const HELP = `millrace query "SQL": runs a query and prints a table

  --store HOST:PORT    where ClickHouse listens (default 127.0.0.1:8123)

The user and password for a server that asks for them come from MILLRACE_CLICKHOUSE_USER and
MILLRACE_CLICKHOUSE_PASSWORD.
`

export async function queryCommand(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = readOptions(args, {
    store: { type: 'string', default: '127.0.0.1:8123' },
    help: { type: 'boolean', short: 'h' },
  })
  if (values.help) {
    io.stdout.write(HELP)
    return 0
  }
  if (positionals.length !== 1) throw new UsageError('takes one query in quotes')
  const url = `http://${formatAddress(addressOption('store', values.store))}`
  try {
    io.stdout.write(
      await queryTable(positionals[0], {
        url,
        username: io.env.MILLRACE_CLICKHOUSE_USER,
        password: io.env.MILLRACE_CLICKHOUSE_PASSWORD,
      }),
    )
    return 0
  } catch (error) {
    io.stderr.write(`millrace query: ${(error as Error).message}\n`)
    return 1
  }
}
