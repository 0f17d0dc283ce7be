/**
 * The one form of INSERT whose rows come in the body of a request: `INSERT INTO [TABLE] [db.]table [(column,
 * ...)] [SETTINGS name = literal, ...] FORMAT name`. It is taken apart here and put together again from
 * quoted parts, so nothing of the sender's text reaches the engine as it was.
 */
import { ClickHouseFault, EXCEPTION_CODE } from './errors.ts'
import { isWord, quoteName, quoteString, type SqlToken, tokenizeSql } from './sql-tokens.ts'

export interface InsertStatement {
  readonly database: string
  readonly table: string
  /** Null: all columns of the table. */
  readonly columns: readonly string[] | null
  readonly settings: ReadonlyMap<string, string>
  readonly format: string
}

const SETTING_NAME = /^[a-z][a-z0-9_]{0,99}$/
const FORMAT_NAME = /^[A-Za-z][A-Za-z0-9]{0,49}$/
const SETTING_VALUE_SIZE_MAX = 4096

/** The statement, or null when it is an INSERT of another form (VALUES, SELECT, INFILE). */
export function parseInsert(sql: string, defaultDatabase: string): InsertStatement | null {
  const tokens = tokenizeSql(sql).tokens.filter((token, i, all) => token.text !== ';' || i < all.length - 1)
  let at = 1
  if (!isWord(tokens[0], 'INSERT') || !isWord(tokens[at], 'INTO')) return null
  at++
  if (isWord(tokens[at], 'TABLE') && isName(tokens[at + 1])) at++
  if (!isName(tokens[at])) return null
  let database = defaultDatabase
  let table = tokens[at++].value
  if (tokens[at]?.text === '.' && isName(tokens[at + 1])) {
    database = table
    table = tokens[at + 1].value
    at += 2
  }
  const columns = tokens[at]?.text === '(' ? parseColumns(tokens, at) : null
  if (columns !== null) at += columns.length * 2 + 1
  const settings = new Map<string, string>()
  if (isWord(tokens[at], 'SETTINGS')) at = parseSettings(tokens, at + 1, settings)
  const format = tokens[at + 1]
  if (!isWord(tokens[at], 'FORMAT') || format?.kind !== 'word' || tokens.length !== at + 2) return null
  return { database, table, columns, settings, format: format.text }
}

function isName(token: SqlToken | undefined): token is SqlToken {
  return token?.kind === 'word' || token?.kind === 'identifier'
}

function parseColumns(tokens: readonly SqlToken[], open: number): string[] | null {
  const columns: string[] = []
  for (let at = open + 1; isName(tokens[at]); at += 2) {
    columns.push(tokens[at].value)
    if (tokens[at + 1]?.text === ')') return columns
    if (tokens[at + 1]?.text !== ',') return null
  }
  return null
}

function parseSettings(tokens: readonly SqlToken[], start: number, settings: Map<string, string>): number {
  for (let at = start; ; at += 4) {
    const [name, equals, value, after] = tokens.slice(at, at + 4)
    if (name?.kind !== 'word' || equals?.text !== '=') return at
    if (value?.kind !== 'string' && value?.kind !== 'number') return at
    settings.set(name.text, value.value)
    if (after?.text !== ',') return at + 3
  }
}

/** The statement the engine runs: the same insert from a file of this process, every part quoted anew. */
export function insertFromFile(insert: InsertStatement, path: string): string {
  if (!FORMAT_NAME.test(insert.format)) throw badPart('format', insert.format)
  const columns = insert.columns === null ? '' : ` (${insert.columns.map(quoteName).join(', ')})`
  const settings = [...insert.settings].map(([name, value]) => {
    if (!SETTING_NAME.test(name)) throw badPart('setting', name)
    if (value.length > SETTING_VALUE_SIZE_MAX) throw badPart('value of the setting', name)
    return `${name} = ${quoteString(value)}`
  })
  return (
    `INSERT INTO ${quoteName(insert.database)}.${quoteName(insert.table)}${columns} ` +
    `FROM INFILE ${quoteString(path)} COMPRESSION 'none' ` +
    `${settings.length === 0 ? '' : `SETTINGS ${settings.join(', ')} `}FORMAT ${insert.format}`
  )
}

function badPart(what: string, name: string): ClickHouseFault {
  return new ClickHouseFault(
    EXCEPTION_CODE.BAD_ARGUMENTS,
    `Unusable ${what} ${JSON.stringify(name.slice(0, 60))} in an INSERT. (BAD_ARGUMENTS)`,
  )
}
