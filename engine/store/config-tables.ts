/**
 * What a config says of the tables: how long their rows are kept, and the units of metrics, which analysts find in the view
 * `metrics`. Put into effect at each start, after the schema. Main thread.
 */
import { createHash } from 'node:crypto'
import type { MillraceConfig } from '../config.ts'
import { tablesOf } from '../window-tables.ts'
import { DATABASE } from './columns.ts'
import type { StoreTarget } from './target.ts'

/** Rows of a stream, and of windows of that label, are kept for so long. */
interface Retention {
  table: 'samples' | 'rollups' | 'windows'
  stream: string
  /** Null in `samples`. */
  window: string | null
  retentionMs: number
}

const TABLES = ['samples', 'rollups', 'windows'] as const
/** Begins the comment of a table whose TTL is ours; a TTL that somebody else has set stays. */
const MARK = 'retention '

/** Throws StoreError. */
export async function applyConfigToTables(target: StoreTarget, config: MillraceConfig): Promise<void> {
  await target.command(unitsView(config))
  const retentions = retentionsOf(config)
  const comments = await tableComments(target)
  for (const table of TABLES) {
    const comment = comments.get(table)
    if (comment === undefined) continue
    const ttl = ttlOf(retentions.filter((retention) => retention.table === table))
    const wanted = ttl === null ? '' : `${MARK}${createHash('sha256').update(ttl).digest('hex').slice(0, 16)}`
    if (wanted === comment || (ttl === null && !comment.startsWith(MARK))) continue
    const change = ttl === null ? 'REMOVE TTL' : `MODIFY TTL ${ttl}`
    await target.command(`ALTER TABLE ${DATABASE}.${table} ${change}`)
    await target.command(`ALTER TABLE ${DATABASE}.${table} MODIFY COMMENT '${wanted}'`)
  }
}

function retentionsOf(config: MillraceConfig): Retention[] {
  return config.streams.flatMap(({ name: stream }, index): Retention[] => {
    const { rawRetentionMs, operators } = config.pipelines[index]
    const ofWindows = operators.flatMap(({ label, spec, retentionMs }): Retention[] =>
      retentionMs === null
        ? []
        : tablesOf(spec).map((table) => ({ table, stream, window: label, retentionMs })),
    )
    if (rawRetentionMs === null) return ofWindows
    return [{ table: 'samples', stream, window: null, retentionMs: rawRetentionMs }, ...ofWindows]
  })
}

/** One condition for all rows that are kept equally long; null when there are none. */
function ttlOf(retentions: readonly Retention[]): string | null {
  const durations = [...new Set(retentions.map(({ retentionMs }) => retentionMs))].sort((a, b) => a - b)
  const clauses = durations.map((durationMs) => {
    const of = retentions.filter(({ retentionMs }) => retentionMs === durationMs)
    const isRaw = of[0].window === null
    const names = of.map(({ stream, window }) =>
      window === null ? text(stream) : `(${text(stream)}, ${text(window)})`,
    )
    const condition = `${isRaw ? 'stream' : '(stream, window)'} IN (${names.join(', ')})`
    const seconds = Math.ceil(durationMs / 1000)
    return `toDateTime(${isRaw ? 'ts' : 'start'}) + toIntervalSecond(${seconds}) DELETE WHERE ${condition}`
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
