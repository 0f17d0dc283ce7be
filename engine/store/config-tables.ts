/**
 * What a config says of the tables: how long their rows are kept, and the units of metrics, which analysts find in the view
 * `metrics`. Put into effect at each start, after the schema. Main thread.
 */
import { createHash } from 'node:crypto'
import type { MillraceConfig } from '../config.ts'
import { tablesOf } from '../window-tables.ts'
import { DATABASE } from './columns.ts'
import type { StoreTarget } from './target.ts'

/** The column that names an operator's rows, and the one that they grow old by. */
const TABLES = {
  samples: { operator: null, time: 'ts' },
  rollups: { operator: 'window', time: 'start' },
  windows: { operator: 'window', time: 'start' },
  points: { operator: 'method', time: 'ts' },
} as const
type Table = keyof typeof TABLES

/** Rows of a stream, and of the operator of that label, are kept for so long. */
interface Retention {
  table: Table
  stream: string
  /** Empty in `samples`. */
  label: string
  retentionMs: number
}

/** Begins the comment of a table whose TTL is ours; a TTL that somebody else has set stays. */
const MARK = 'retention '

/** Throws StoreError. */
export async function applyConfigToTables(target: StoreTarget, config: MillraceConfig): Promise<void> {
  await target.command(unitsView(config))
  const retentions = retentionsOf(config)
  const comments = await tableComments(target)
  for (const table of Object.keys(TABLES) as Table[]) {
    const comment = comments.get(table)
    if (comment === undefined) continue
    const ttl = ttlOf(
      table,
      retentions.filter((retention) => retention.table === table),
    )
    const wanted = ttl === null ? '' : `${MARK}${createHash('sha256').update(ttl).digest('hex').slice(0, 16)}`
    if (wanted === comment || (ttl === null && !comment.startsWith(MARK))) continue
    const change = ttl === null ? 'REMOVE TTL' : `MODIFY TTL ${ttl}`
    await target.command(`ALTER TABLE ${DATABASE}.${table} ${change}`)
    await target.command(`ALTER TABLE ${DATABASE}.${table} MODIFY COMMENT '${wanted}'`)
  }
}

function retentionsOf(config: MillraceConfig): Retention[] {
  return config.streams.flatMap(({ name: stream }, index): Retention[] => {
    const { rawRetentionMs, operators, downsamplers } = config.pipelines[index]
    const kept = (table: Table, label: string, retentionMs: number | null): Retention[] =>
      retentionMs === null ? [] : [{ table, stream, label, retentionMs }]
    return [
      ...kept('samples', '', rawRetentionMs),
      ...operators.flatMap(({ label, spec, retentionMs }) =>
        tablesOf(spec).flatMap((table) => kept(table, label, retentionMs)),
      ),
      ...downsamplers.flatMap(({ label, retentionMs }) => kept('points', label, retentionMs)),
    ]
  })
}

/** One condition for all rows that are kept equally long; null when there are none. */
function ttlOf(table: Table, retentions: readonly Retention[]): string | null {
  const { operator, time } = TABLES[table]
  const durations = [...new Set(retentions.map(({ retentionMs }) => retentionMs))].sort((a, b) => a - b)
  const clauses = durations.map((durationMs) => {
    const of = retentions.filter(({ retentionMs }) => retentionMs === durationMs)
    const names = of.map(({ stream, label }) =>
      operator === null ? text(stream) : `(${text(stream)}, ${text(label)})`,
    )
    const condition = `${operator === null ? 'stream' : `(stream, ${operator})`} IN (${names.join(', ')})`
    const seconds = Math.ceil(durationMs / 1000)
    return `toDateTime(${time}) + toIntervalSecond(${seconds}) DELETE WHERE ${condition}`
  })
  return clauses.length === 0 ? null : clauses.join(', ')
}

async function tableComments(target: StoreTarget): Promise<Map<string, string>> {
  const rows = await target.query<{ name: string; comment: string }>(
    'SELECT name, comment FROM system.tables WHERE database = {database:String}',
    { database: DATABASE },
  )
  return new Map(rows.map(({ name, comment }) => [name, comment]))
}

function unitsView(config: MillraceConfig): string {
  const rows = config.streams.flatMap(({ name }, index) =>
    Object.entries(config.pipelines[index].units).map(
      ([metric, unit]) => `(${text(name)}, ${text(metric)}, ${text(unit)})`,
    ),
  )
  return `CREATE OR REPLACE VIEW ${DATABASE}.metrics AS
    SELECT tupleElement(row, 1) AS stream, tupleElement(row, 2) AS metric, tupleElement(row, 3) AS unit
    FROM (SELECT arrayJoin(CAST([${rows.join(', ')}], 'Array(Tuple(String, String, String))')) AS row)`
}

function text(value: string): string {
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}
