/**
 * Topic aliases on the way to a client of MQTT 5 that takes them: encoded PUBLISHes come in, with their topics,
 * and leave with a topic that the client was just told shortened to its number. A topic's number is its hash,
 * so that the ones in use push the others out; a topic that is new costs three bytes. Owner: the gateway's
 * thread. Invariant: what the client has for a number is what stands here.
 */
import { hashBytes } from '../../base/hash.ts'
import { u16At } from '../../codecs/mqtt/properties.ts'
import { writeTopicAlias } from '../../codecs/mqtt/publish-properties.ts'
import { readVarint, varintSize, writeVarint } from '../../codecs/mqtt/varint.ts'

/** Of the aliases that a client takes, so many are used: each keeps a topic here. */
const ALIASES_MAX = 32
const ALIAS_SIZE_BYTES = 3
/** What a packet may grow by: the alias, and a byte of each length. */
const GROWTH_SIZE_BYTES_MAX = ALIAS_SIZE_BYTES + 2
const PACKET_SIZE_BYTES_MIN = 5

let scratch = new Uint8Array(128 << 10)

export class OutboundAliases {
  /** By alias - 1. */
  #topics: (Uint8Array | undefined)[]
  #packetSizeBytesMax: number

  /** `packetSizeBytesMax` is the client's, 0 for any. */
  constructor(aliasMaximum: number, packetSizeBytesMax: number) {
    this.#topics = new Array(Math.min(aliasMaximum, ALIASES_MAX)).fill(undefined)
    this.#packetSizeBytesMax = packetSizeBytesMax
  }

  /** The same packets with aliases, in memory of their own. */
  shorten(run: Uint8Array): Uint8Array {
    const grownSizeMax = run.length + (run.length / PACKET_SIZE_BYTES_MIN) * GROWTH_SIZE_BYTES_MAX
    if (scratch.length < grownSizeMax) scratch = new Uint8Array(grownSizeMax * 2)
    let at = 0
    for (let start = 0; start < run.length; ) {
      const bodySize = readVarint(run, start + 1, run.length)
      const bodyStart = start + 1 + varintSize(bodySize)
      at = this.#write(run, start, bodyStart, bodyStart + bodySize, at)
      start = bodyStart + bodySize
    }
    return scratch.slice(0, at)
  }

  // hot: per message and subscriber that takes aliases
  #write(run: Uint8Array, start: number, bodyStart: number, end: number, at: number): number {
    const topicSize = u16At(run, bodyStart)
    const topicStart = bodyStart + 2
    const topicEnd = topicStart + topicSize
    const place = hashBytes(run, topicStart, topicEnd) % this.#topics.length
    const isKnown = this.#isTopic(place, run, topicStart, topicEnd)
    const idSize = (run[start] & 0x06) === 0 ? 0 : 2
    const propertiesSize = readVarint(run, topicEnd + idSize, end)
    const propertiesStart = topicEnd + idSize + varintSize(propertiesSize)
    const keptSize = isKnown ? 0 : topicSize
    const newSize = propertiesSize + ALIAS_SIZE_BYTES
    const bodySize =
      2 + keptSize + idSize + varintSize(newSize) + newSize + end - propertiesStart - propertiesSize
    const size = 1 + varintSize(bodySize) + bodySize
    const isTooLarge = this.#packetSizeBytesMax > 0 && size > this.#packetSizeBytesMax
    if (topicSize <= ALIAS_SIZE_BYTES || isTooLarge) return append(run, start, end, at)
    if (!isKnown) this.#topics[place] = run.slice(topicStart, topicEnd)
    scratch[at] = run[start]
    at = writeVarint(scratch, at + 1, bodySize)
    scratch[at] = keptSize >> 8
    scratch[at + 1] = keptSize
    at = append(run, topicStart, topicStart + keptSize, at + 2)
    at = append(run, topicEnd, topicEnd + idSize, at)
    at = writeTopicAlias(scratch, writeVarint(scratch, at, newSize), place + 1)
    return append(run, propertiesStart, end, at)
  }

  #isTopic(place: number, bytes: Uint8Array, start: number, end: number): boolean {
    const topic = this.#topics[place]
    if (topic === undefined || topic.length !== end - start) return false
    for (let i = 0; i < topic.length; i++) if (topic[i] !== bytes[start + i]) return false
    return true
  }
}

function append(from: Uint8Array, start: number, end: number, at: number): number {
  if (end > start) scratch.set(from.subarray(start, end), at)
  return at + end - start
}
