/**
 * What an analyst may send: one statement that only reads, with no way out of the database. The engine itself
 * refuses the most of it (its one user has no grant on files, networks or other databases, and the session is
 * read-only); the rules here close what it leaves open in a process of its own: INTO OUTFILE, the scalar
 * function `file`, KILL of other sessions' queries, several statements in one, the system tables that tell
 * about the machine, and SETTINGS in a subquery, which may even lift `readonly`. Table functions that take a
 * structure are closed too, for a column of it may be an `ALIAS file(...)`, put together at run time.
 */
import { ClickHouseFault, EXCEPTION_CODE } from './errors.ts'
import { isWord, type SqlToken, tokenizeSql } from './sql-tokens.ts'

/** A query without its format, so that its output can be directed elsewhere. */
export interface ReadQuery {
  readonly text: string
  /** The format the query names itself, or null. */
  readonly format: string | null
}

const WRITING_WORDS = wordSet(`
  INSERT CREATE ALTER DROP TRUNCATE OPTIMIZE RENAME EXCHANGE CHECK DELETE UPDATE
`)
const READING_WORDS = new Set(['SELECT', 'WITH', 'FROM', 'SHOW', 'DESCRIBE', 'DESC', 'EXISTS', 'EXPLAIN'])

/** Table functions that make rows of their own and touch nothing else; `format` has its own rule. */
const HARMLESS_TABLE_FUNCTIONS = wordSet(`
  format generateseries generate_series numbers numbers_mt primes view zeros zeros_mt
`)

/**
 * Functions that read files, load models or tell paths; refused as a name in any place, for `APPLY f` calls
 * them too.
 */
const FORBIDDEN_NAMES = new Set(['file', 'catboostevaluate', 'evalmlmethod', 'getserversetting', 'getmacro'])

const READABLE_SYSTEM_TABLES = wordSet(`
  aggregate_function_combinators asynchronous_metrics build_options codecs collations columns contributors
  data_skipping_indices data_type_families databases errors events formats functions keywords licenses
  merges metrics numbers numbers_mt one parts_columns projections settings settings_changes
  table_functions tables time_zones version zeros zeros_mt
`)

const READABLE_DATABASES = new Set(['millrace', 'default', 'information_schema'])

/**
 * What may not be called, by readers or writers: the engine's table functions but for the harmless, and
 * `disk`.
 */
export function forbiddenTableFunctions(all: readonly string[]): ReadonlySet<string> {
  const names = all.map((name) => name.toLowerCase())
  return new Set(['disk', ...names.filter((name) => !HARMLESS_TABLE_FUNCTIONS.has(name))])
}

/** Whether a statement begins as one that reads; nothing else of it is checked. */
export function isReadQuery(sql: string): boolean {
  return startsReading(tokenizeSql(sql).tokens)
}

/**
 * Checks a reader's query and cuts it; `placeholders` are the values of its `{name:Type}`.
 * Throws a ClickHouseFault: SYNTAX_ERROR, READONLY or ACCESS_DENIED.
 */
export function guardReadQuery(
  sql: string,
  forbiddenCalls: ReadonlySet<string>,
  placeholders: ReadonlyMap<string, string> = new Map(),
): ReadQuery {
  const { text, tokens: all } = tokenizeSql(sql)
  const tokens = withoutFinalSemicolons(all)
  if (tokens.length === 0)
    throw new ClickHouseFault(EXCEPTION_CODE.SYNTAX_ERROR, 'Empty query. (SYNTAX_ERROR)')
  if (!startsReading(tokens)) {
    throw new ClickHouseFault(
      EXCEPTION_CODE.READONLY,
      `Cannot execute query in readonly mode: only ${[...READING_WORDS].join(', ')} may start it. (READONLY)`,
    )
  }
  if (isWord(tokens[0], 'SHOW') && tokens.some((token) => isWord(token, 'PROCESSLIST'))) {
    throw denied('the list of running queries')
  }
  for (let at = 0; at < tokens.length; at++) checkSettings(tokens, at)
  checkNames(tokens, forbiddenCalls, placeholders)
  return cutAtFormat(text, tokens)
}

/**
 * Checks a statement of a writer, which may insert into and change the database, and returns it without
 * comments.
 */
export function guardWriteQuery(sql: string, forbiddenCalls: ReadonlySet<string>): string {
  const { text, tokens: all } = tokenizeSql(sql)
  const tokens = withoutFinalSemicolons(all)
  const first = tokens[0]
  if (first?.kind !== 'word' || !WRITING_WORDS.has(first.text.toUpperCase())) {
    throw denied(`a statement that begins with '${first?.text ?? ''}'`)
  }
  checkNames(tokens, forbiddenCalls, new Map())
  return text.slice(0, tokens[tokens.length - 1].end)
}

/** Refuses a database that an analyst may not be in. */
export function guardDatabase(name: string): void {
  if (!READABLE_DATABASES.has(name.toLowerCase())) throw denied(`the database '${name}'`)
}

function withoutFinalSemicolons(tokens: readonly SqlToken[]): readonly SqlToken[] {
  let count = tokens.length
  while (count > 0 && tokens[count - 1].text === ';') count--
  return tokens.slice(0, count)
}

function startsReading(tokens: readonly SqlToken[]): boolean {
  const first = tokens.find((token) => token.text !== '(')
  return first?.kind === 'word' && READING_WORDS.has(first.text.toUpperCase())
}

function checkNames(
  tokens: readonly SqlToken[],
  forbiddenCalls: ReadonlySet<string>,
  placeholders: ReadonlyMap<string, string>,
): void {
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]
    if (token.kind === 'sign') checkSign(tokens, i, placeholders)
    if (token.kind !== 'word' && token.kind !== 'identifier') continue
    const name = token.value.toLowerCase()
    if (FORBIDDEN_NAMES.has(name)) throw denied(`the name '${token.value}'`)
    if (isWord(token, 'OUTFILE') || isWord(token, 'INFILE')) throw denied(token.text)
    const next = tokens[i + 1]?.text
    if (next === '(' && isForbiddenCall(tokens, i, forbiddenCalls))
      throw denied(`the function '${token.value}'`)
    if (next !== '.' || name !== 'system') continue
    const table = tokens[i + 2]?.value ?? ''
    if (!READABLE_SYSTEM_TABLES.has(table)) throw denied(`the table 'system.${table}'`)
  }
}

function isForbiddenCall(
  tokens: readonly SqlToken[],
  at: number,
  forbiddenCalls: ReadonlySet<string>,
): boolean {
  const name = tokens[at].value.toLowerCase()
  if (name === 'format') {
    // The scalar function has a pattern with places to fill in; the table function reads rows of any
    // structure.
    const argument = tokens[at + 2]
    return !(argument?.kind === 'string' && argument.value.includes('{'))
  }
  // After the table or the columns of an INSERT it is the clause.
  if (name === 'values' && isWord(tokens[at], 'VALUES') && at > 0 && endsOperand(tokens[at - 1])) return false
  return forbiddenCalls.has(name)
}

/** What may follow a column called `settings`; anything else makes it a clause. */
const AFTER_NAME = wordSet(`
  AND AS ASC BETWEEN DESC FINAL FORMAT FROM GLOBAL GROUP HAVING ILIKE IN IS JOIN LIKE LIMIT NOT OFFSET OR
  ORDER PREWHERE UNION WHERE
`)

function checkSettings(tokens: readonly SqlToken[], at: number): void {
  const next = tokens[at + 1]
  if (!isWord(tokens[at], 'SETTINGS') || (next?.kind !== 'word' && next?.kind !== 'identifier')) return
  const isColumn =
    tokens[at - 1]?.text === '.' || (next.kind === 'word' && AFTER_NAME.has(next.text.toUpperCase()))
  if (isColumn && tokens[at + 2]?.text !== '=') return
  throw new ClickHouseFault(
    EXCEPTION_CODE.READONLY,
    'Cannot modify settings in a query in readonly mode: give those of its output in the URL. (READONLY)',
  )
}

/** A semicolon begins another statement; a brace a placeholder, and one of type Identifier becomes a name. */
function checkSign(tokens: readonly SqlToken[], at: number, placeholders: ReadonlyMap<string, string>): void {
  if (tokens[at].text === ';') {
    throw new ClickHouseFault(
      EXCEPTION_CODE.SYNTAX_ERROR,
      'Syntax error (Multi-statements are not allowed): send one statement. (SYNTAX_ERROR)',
    )
  }
  const [brace, name, colon, type] = tokens.slice(at, at + 4)
  if (brace.text !== '{' || colon?.text !== ':' || type?.value.toLowerCase() !== 'identifier') return
  const value = placeholders.get(name.value) ?? ''
  if (/system|\\/i.test(value) || FORBIDDEN_NAMES.has(value.toLowerCase()))
    throw denied(`the name '${value}'`)
}

function denied(what: string): ClickHouseFault {
  return new ClickHouseFault(
    EXCEPTION_CODE.ACCESS_DENIED,
    `Not enough privileges: ${what} is closed here. (ACCESS_DENIED)`,
  )
}

/** Words after which `format` is a name and not the clause. */
const BEFORE_EXPRESSION = wordSet(`
  ALL AND ANY AS ASOF BETWEEN BY CASE DISTINCT ELSE EXCEPT FROM FULL GLOBAL HAVING ILIKE IN INNER
  INTERSECT INTERVAL IS JOIN LEFT LIKE LIMIT MOD DIV NOT OFFSET ON OR OUTER PREWHERE QUALIFY RIGHT SELECT
  SEMI STEP TABLE THEN TO UNION USING WHEN WHERE WITH
`)

/** Finds `FORMAT name` at the end of the statement. */
function cutAtFormat(text: string, tokens: readonly SqlToken[]): ReadQuery {
  const [before, format, name] = tokens.slice(-3)
  if (tokens.length > 2 && isWord(format, 'FORMAT') && name.kind === 'word' && endsOperand(before)) {
    return { text: text.slice(0, before.end), format: name.text }
  }
  return { text: text.slice(0, tokens[tokens.length - 1].end), format: null }
}

function endsOperand(token: SqlToken): boolean {
  if (token.kind === 'sign') return ')]}*'.includes(token.text)
  return token.kind !== 'word' || !BEFORE_EXPRESSION.has(token.text.toUpperCase())
}

function wordSet(text: string): ReadonlySet<string> {
  return new Set(text.trim().split(/\s+/))
}
