/**
 * A rule about topics: a topic filter whose levels may be placeholders, as a config writes it (`devices/{device}/#`) and bound to
 * a client. Pure. A bound rule is told apart from filters and topics by kinds of levels, never by text: a name with a wildcard in
 * it means nothing but itself.
 */

const PLACEHOLDERS = ['device', 'client', 'group', 'member'] as const
type Placeholder = (typeof PLACEHOLDERS)[number]

/** `rest` is `#`, the last level if any; `any` is `+`. */
export type RuleLevel =
  | { kind: 'literal'; text: string }
  | { kind: 'any' }
  | { kind: 'rest' }
  | { kind: Placeholder }

type BoundLevel =
  | { kind: 'literal'; text: string; bytes: Uint8Array }
  | { kind: 'any' }
  | { kind: 'rest' }
  | { kind: 'member'; groups: readonly ReadonlySet<string>[] }

export type BoundRule = readonly BoundLevel[]

/** Whom a rule is bound to. */
export interface Subject {
  /** Null for a client without an identity. */
  device: string | null
  client: string
  groups: readonly string[]
  /** The names in each of the groups: sets that change when the groups do. */
  members: readonly ReadonlySet<string>[]
}

const SLASH = 0x2f
const DOLLAR = 0x24
const RULE_LENGTH_MAX = 1024

/** Null for what is no rule. */
export function parseRule(text: string): RuleLevel[] | null {
  if (text === '' || text.length > RULE_LENGTH_MAX || text.startsWith('$share/')) return null
  const levels = text.split('/').map(parseLevel)
  if (!levels.every((level) => level !== null)) return null
  const rest = levels.findIndex(({ kind }) => kind === 'rest')
  return rest < 0 || rest === levels.length - 1 ? levels : null
}

function parseLevel(text: string): RuleLevel | null {
  if (text === '+') return { kind: 'any' }
  if (text === '#') return { kind: 'rest' }
  const placeholder = PLACEHOLDERS.find((name) => text === `{${name}}`)
  if (placeholder !== undefined) return { kind: placeholder }
  return /^[^+#{}\0]*$/.test(text) && text.isWellFormed() ? { kind: 'literal', text } : null
}

/** The rules that this one becomes for a client: none where a placeholder has nothing to stand for, one for each group. */
export function bindRule(
  rule: readonly RuleLevel[],
  { device, client, groups, members }: Subject,
): BoundRule[] {
  let bound: BoundLevel[][] = [[]]
  for (const level of rule) {
    let choices: BoundLevel[]
    switch (level.kind) {
      case 'device':
        choices = device === null ? [] : [literal(device)]
        break
      case 'client':
        choices = [literal(client)]
        break
      case 'group':
        choices = groups.map(literal)
        break
      case 'member':
        choices = members.length === 0 ? [] : [{ kind: 'member', groups: members }]
        break
      case 'literal':
        choices = [literal(level.text)]
        break
      default:
        choices = [level]
    }
    bound = bound.flatMap((levels) => choices.map((choice) => [...levels, choice]))
  }
  return bound
}

function literal(text: string): BoundLevel {
  return { kind: 'literal', text, bytes: Buffer.from(text) }
}

/** Whether the rule is about the topic bytes[start, end), which is valid. */
// hot: per message (of a topic that its connection has not just used)
export function matchesTopic(rule: BoundRule, bytes: Uint8Array, start: number, end: number): boolean {
  if (bytes[start] === DOLLAR && rule[0].kind !== 'literal') return false // [MQTT-4.7.2-1]
  const last = rule.length - 1
  let offset = start
  for (let i = 0; i <= last; i++) {
    const level = rule[i]
    if (level.kind === 'rest') return true
    let levelEnd = offset
    while (levelEnd < end && bytes[levelEnd] !== SLASH) levelEnd++
    if (level.kind === 'literal') {
      if (!equals(level.bytes, bytes, offset, levelEnd)) return false
    } else if (level.kind === 'member' && !isMember(level.groups, textOf(bytes, offset, levelEnd)))
      return false
    if (levelEnd === end) return i === last || (i === last - 1 && rule[last].kind === 'rest') // a/# takes a
    offset = levelEnd + 1
  }
  return false
}

/** Whether the rule is about every topic that the filter takes; of a shared subscription's filter the part behind the name. */
export function coversFilter(rule: BoundRule, filter: string): boolean {
  const levels = filter.split('/')
  const first = levels[0]
  if (first.startsWith('$') && rule[0].kind !== 'literal') return false
  for (let i = 0; i < rule.length; i++) {
    const level = rule[i]
    if (level.kind === 'rest') return true
    const text = levels[i]
    if (text === undefined || text === '#') return false
    if (level.kind === 'any') continue
    if (text === '+') return false
    if (level.kind === 'literal' ? level.text !== text : !isMember(level.groups, text)) return false
  }
  return levels.length === rule.length
}

function isMember(groups: readonly ReadonlySet<string>[], name: string): boolean {
  for (let i = 0; i < groups.length; i++) if (groups[i].has(name)) return true
  return false
}

function equals(expected: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  const size = expected.length
  if (end - start !== size) return false
  for (let i = 0; i < size; i++) if (expected[i] !== bytes[start + i]) return false
  return true
}

function textOf(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8')
}
