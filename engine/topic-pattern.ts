/** The topic of a stream as its config writes it, level by level: `plants/{plant}/{device}/+/{metric}`. Pure. */

export type TopicLevel =
  | { kind: 'literal'; text: string }
  /** `+`: does not matter. */
  | { kind: 'any' }
  /** `{device}`, `{metric}`, or a name of the user's own. */
  | { kind: 'named'; name: string }

export const DEVICE_LEVEL = 'device'
/** Names the metric of a bare payload, or stands before the metrics of an object. */
export const METRIC_LEVEL = 'metric'

/** The levels; null for what is no such topic. There is exactly one `{device}`, and no name stands twice. */
export function parseTopicPattern(topic: string): TopicLevel[] | null {
  if (topic.startsWith('$') || topic.length > 1024) return null
  const levels = topic.split('/').map(parseLevel)
  if (!levels.every((level) => level !== null)) return null
  const names = levelNames(levels)
  const isFit = names.includes(DEVICE_LEVEL) && new Set(names).size === names.length
  return isFit ? levels : null
}

function levelNames(levels: readonly TopicLevel[]): string[] {
  return levels.flatMap((level) => (level.kind === 'named' ? [level.name] : []))
}

/** Which level has that name; -1 for none. */
export function levelIndex(levels: readonly TopicLevel[], name: string): number {
  for (let index = 0; index < levels.length; index++) {
    const level = levels[index]
    if (level.kind === 'named' && level.name === name) return index
  }
  return -1
}

function parseLevel(text: string): TopicLevel | null {
  if (text === '+') return { kind: 'any' }
  const name = /^\{([a-z]\w{0,31})\}$/i.exec(text)?.[1]
  if (name !== undefined) return { kind: 'named', name }
  return /^[^+#{}\0]+$/.test(text) ? { kind: 'literal', text } : null
}
