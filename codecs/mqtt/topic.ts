/** Rules for topic names and topic filters (MQTT 5.0, section 4.7; 4.8.2 for shared subscriptions). */
import { sequenceSize } from './text.ts'

const NUL = 0x00
const NUMBER_SIGN = 0x23
const PLUS = 0x2b

/**
 * Whether bytes[start, end) may name a topic: well-formed UTF-8 of at least one character, no U+0000 and no
 * wildcard. An empty name that stands for a topic alias is the caller's affair.
 */
// hot: per message (of a topic that its connection has not just used)
export function isTopicNameValid(bytes: Uint8Array, start: number, end: number): boolean {
  let offset = start
  while (offset < end) {
    const byte = bytes[offset]
    if (byte < 0x80) {
      if (byte === NUMBER_SIGN || byte === PLUS || byte === NUL) return false
      offset++
      continue
    }
    const size = sequenceSize(bytes, offset, end)
    if (size === 0) return false
    offset += size
  }
  return end > start
}

/**
 * Whether a filter keeps to the rules: not empty, `+` fills a whole level, `#` fills the last one; of a
 * shared filter both the name and the filter behind it. The text is what `readSubscribe` gave, so its UTF-8
 * is known to be good.
 */
export function isTopicFilterValid(filter: string): boolean {
  if (!isShared(filter)) return areWildcardsValid(filter)
  const shared = splitSharedFilter(filter)
  return shared !== null && areWildcardsValid(shared.filter)
}

/** Whether a filter asks for a shared subscription (begins with `$share/`), well-formed or not. */
export function isShared(filter: string): boolean {
  return filter.startsWith('$share/')
}

/** `$share/{name}/{filter}` in its two parts; null when the filter is not of that form. */
export function splitSharedFilter(filter: string): { shareName: string; filter: string } | null {
  if (!isShared(filter)) return null
  const nameStart = '$share/'.length
  const nameEnd = filter.indexOf('/', nameStart)
  if (nameEnd <= nameStart || nameEnd + 1 === filter.length) return null
  const shareName = filter.slice(nameStart, nameEnd)
  if (shareName.includes('+') || shareName.includes('#')) return null
  return { shareName, filter: filter.slice(nameEnd + 1) }
}

function areWildcardsValid(filter: string): boolean {
  for (let i = 0; i < filter.length; i++) {
    const character = filter[i]
    if (character !== '+' && character !== '#') continue
    const opensLevel = i === 0 || filter[i - 1] === '/'
    const closesLevel = i + 1 === filter.length || (character === '+' && filter[i + 1] === '/')
    if (!opensLevel || !closesLevel) return false
  }
  return filter.length > 0
}
