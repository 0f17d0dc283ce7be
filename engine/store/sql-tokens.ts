/**
 * SQL cut into tokens with ClickHouse's own lexical rules, so that what is checked is what the engine will
 * read. Whatever two readers could see differently (here-documents, letters outside ASCII that are not
 * quoted, comments inside comments, `//` and `#`) is refused. Comments become blanks in `text`, so the engine
 * never has to find their ends.
 */
import { ClickHouseFault, EXCEPTION_CODE } from './errors.ts'

export interface SqlToken {
  readonly kind: 'word' | 'identifier' | 'string' | 'number' | 'sign'
  /** As written; quoted names and strings with their quotes. */
  readonly text: string
  /** A name without quotes and escapes, a string's value; else the text. */
  readonly value: string
  readonly start: number
  readonly end: number
}

export interface TokenizedSql {
  /** The statement with its comments blanked, of the same length. */
  readonly text: string
  readonly tokens: readonly SqlToken[]
}

type Shape = 'space' | SqlToken['kind']

/** What a token may look like, tried in this order. */
const SHAPES: readonly (readonly [Shape, RegExp])[] = [
  ['space', /[ \t\n\r\f\v]+|--[^\n]*/y],
  ['string', /'(?:[^'\\]|\\[\s\S]|'')*'/y],
  ['identifier', /"(?:[^"\\]|\\[\s\S]|"")*"|`(?:[^`\\]|\\[\s\S]|``)*`/y],
  ['word', /[A-Za-z_][A-Za-z0-9_]*/y],
  [
    'number',
    /\d[A-Za-z0-9_]*(?:\.[A-Za-z0-9_]*)?(?:(?<=[eEpP])[+-]\d+[A-Za-z0-9_]*)?|\.\d[\d_]*(?:[eE][+-]?\d+)?/y,
  ],
  ['sign', /->|::|\|\||<=>|<=|>=|<>|!=|==|[-+*/%=<>?:,;.()[\]{}]/y],
]

/** Throws a fault with SYNTAX_ERROR for what it refuses. */
export function tokenizeSql(sql: string): TokenizedSql {
  const tokens: SqlToken[] = []
  const pieces: string[] = []
  let offset = 0
  while (offset < sql.length) {
    const [shape, found] = nextShape(sql, offset)
    const end = offset + found.length
    if (shape === 'space') {
      pieces.push(' '.repeat(found.length))
    } else {
      const isQuoted = shape === 'string' || shape === 'identifier'
      tokens.push({ kind: shape, text: found, value: isQuoted ? unquoted(found) : found, start: offset, end })
      pieces.push(found)
    }
    offset = end
  }
  return { text: pieces.join(''), tokens }
}

function nextShape(sql: string, offset: number): readonly [Shape, string] {
  if (sql.startsWith('/*', offset)) return ['space', blockComment(sql, offset)]
  if (sql.startsWith('//', offset)) throw refusal(sql, offset)
  for (const [shape, pattern] of SHAPES) {
    pattern.lastIndex = offset
    const found = pattern.exec(sql)
    if (found !== null) return [shape, found[0]]
  }
  throw refusal(sql, offset)
}

function blockComment(sql: string, start: number): string {
  const end = sql.indexOf('*/', start + 2)
  const nested = sql.indexOf('/*', start + 2)
  if (end < 0 || (nested >= 0 && nested < end)) throw refusal(sql, start)
  return sql.slice(start, end + 2)
}

function refusal(sql: string, offset: number): ClickHouseFault {
  const near = JSON.stringify(sql.slice(offset, offset + 12))
  return new ClickHouseFault(
    EXCEPTION_CODE.SYNTAX_ERROR,
    `Syntax error: unreadable or unclosed at position ${offset + 1} (${near}). (SYNTAX_ERROR)`,
  )
}

const ESCAPES: Readonly<Record<string, string>> = {
  b: '\b',
  f: '\f',
  r: '\r',
  n: '\n',
  t: '\t',
  0: '\0',
  a: '\x07',
  v: '\v',
  e: '\x1b',
}

/** The value between the quotes of a token. */
function unquoted(quoted: string): string {
  const quote = quoted[0]
  return quoted
    .slice(1, -1)
    .replace(
      /\\x([0-9a-fA-F]{2})|\\([\s\S])|(['"`])\3/g,
      (all, hex: string, escaped: string, double: string) => {
        if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16))
        if (escaped !== undefined) return ESCAPES[escaped] ?? escaped
        return double === quote ? quote : all
      },
    )
}

/** A name as ClickHouse reads it back exactly. */
export function quoteName(name: string): string {
  return `\`${name.replace(/[\\`]/g, '\\$&')}\``
}

/** A string literal as ClickHouse reads it back exactly. */
export function quoteString(value: string): string {
  return `'${value.replace(/[\\']/g, '\\$&').replaceAll('\0', '\\0')}'`
}

/** Whether the token is this word, unquoted, in any case. */
export function isWord(token: SqlToken | undefined, word: string): boolean {
  return token?.kind === 'word' && token.text.toUpperCase() === word
}
