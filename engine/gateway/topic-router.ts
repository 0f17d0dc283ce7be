/**
 * From a topic's bytes to its stream, device and shard. Patterns such as `devices/{device}/telemetry` are
 * compiled once; the first that matches, in the config's order, wins. Owner: the gateway's thread.
 */
import { assert } from '../../base/assert.ts'
import { hashBytes } from '../../base/hash.ts'
import { MessageRoute } from '../../codecs/journal/record.ts'
import { isTopicNameValid } from '../../codecs/mqtt/topic.ts'
import type { StreamConfig } from '../config.ts'
import { DEVICE_LEVEL, parseTopicPattern, type TopicLevel } from '../topic-pattern.ts'
import type { Delivery } from './delivery.ts'

/** More than any QoS. */
export const NO_SESSION = 3
const DEVICE_SIZE_BYTES_MAX = 128
/** Longer topics are refused: every connection keeps a few. */
export const TOPIC_SIZE_BYTES_MAX = 4096

const SLASH = 0x2f
/** Of a device that came without a topic, the levels that its stream does not fix. */
const UNNAMED = '-'

type Level = { kind: 'literal'; bytes: Uint8Array } | { kind: 'any' } | { kind: 'device' }

interface Pattern {
  levels: Level[]
  /** The topic before and after the device; what a topic is built from that came without one. */
  prefix: string
  suffix: string
}

/**
 * A route and the topic it belongs to: kept by a connection while its topic, or the alias, stays the same.
 */
export class TopicRoute extends MessageRoute {
  topic: Uint8Array = new Uint8Array(0)
  topicSize = 0
  /** Whether a stream takes the topic; if not, it is only delivered to subscribers. */
  isMatched = false
  /** Whether the client that the route belongs to may publish to it. */
  isAllowed = false
  /** Who subscribes to it, as of that version of the subscription index. */
  matches: readonly Delivery[] = []
  matchesVersion = -1
  /** The least QoS at which sessions want a message, as of the same version; NO_SESSION when none does. */
  sessionQosMin = NO_SESSION

  // hot: per message
  isTopic(bytes: Uint8Array, start: number, end: number): boolean {
    const { topic, topicSize } = this
    if (end - start !== topicSize || topicSize === 0) return false
    for (let i = 0; i < topicSize; i++) if (topic[i] !== bytes[start + i]) return false
    return true
  }

  /** Remembers bytes[start, end) as the topic; the route is then the router's to fill. */
  setTopic(bytes: Uint8Array, start: number, end: number): void {
    const size = end - start
    if (this.topic.length < size) this.topic = new Uint8Array(Math.max(size, 32))
    for (let i = 0; i < size; i++) this.topic[i] = bytes[start + i]
    this.topicSize = size
    this.matchesVersion = -1
  }
}

export class TopicRouter {
  #patterns: Pattern[]
  #shardCount: number
  #levelsMax: number

  constructor(streams: readonly StreamConfig[], shardCount: number, levelsMax = Number.POSITIVE_INFINITY) {
    assert(shardCount > 0, 'topics are routed to at least one shard')
    this.#patterns = streams.map((stream) => compile(stream.topic))
    this.#shardCount = shardCount
    this.#levelsMax = levelsMax
  }

  /** Whether a topic is longer, or has more levels, than is taken. */
  isTooDeep(bytes: Uint8Array, start: number, end: number): boolean {
    if (end - start > TOPIC_SIZE_BYTES_MAX) return true
    let levels = 1
    for (let i = start; i < end; i++) if (bytes[i] === SLASH) levels++
    return levels > this.#levelsMax
  }

  /** Fills the route of `route.topic`. A device's name that is empty or too long belongs to no stream. */
  resolve(route: TopicRoute): void {
    const { topic, topicSize } = route
    route.isMatched = false
    for (let stream = 0; stream < this.#patterns.length; stream++) {
      if (!matchLevels(this.#patterns[stream].levels, topic, topicSize, device)) continue
      const size = device.end - device.start
      if (size === 0 || size > DEVICE_SIZE_BYTES_MAX) continue
      route.isMatched = true
      route.stream = stream
      route.deviceStart = device.start
      route.deviceSize = size
      route.deviceHash = hashBytes(topic, device.start, device.end)
      route.shard = route.deviceHash % this.#shardCount
      return
    }
  }

  /**
   * The route of a device that names no topic: its stream's, with `-` for levels that differ. Null when that is no
   * topic.
   */
  routeOf(stream: number, device: string): TopicRoute | null {
    const { prefix, suffix } = this.#patterns[stream]
    const topic = Buffer.from(`${prefix}${device}${suffix}`)
    if (topic.length > TOPIC_SIZE_BYTES_MAX || !isTopicNameValid(topic, 0, topic.length)) return null
    const route = new TopicRoute()
    route.setTopic(topic, 0, topic.length)
    this.resolve(route)
    return route.isMatched && route.stream === stream ? route : null
  }
}

export function topicText({ topic, topicSize }: TopicRoute): string {
  return Buffer.from(topic.buffer, topic.byteOffset, topicSize).toString('utf8')
}

const device = { start: 0, end: 0 }

function compile(topic: string): Pattern {
  const parsed = parseTopicPattern(topic)
  assert(parsed !== null, `topic ${topic} has one {device}`)
  const levels = parsed.map((level): Level => {
    if (level.kind === 'literal') return { kind: 'literal', bytes: Buffer.from(level.text) }
    return isDevice(level) ? { kind: 'device' } : { kind: 'any' }
  })
  const at = parsed.findIndex(isDevice)
  const texts = parsed.map((level) => (level.kind === 'literal' ? level.text : UNNAMED))
  return {
    levels,
    prefix: texts
      .slice(0, at)
      .map((text) => `${text}/`)
      .join(''),
    suffix: texts
      .slice(at + 1)
      .map((text) => `/${text}`)
      .join(''),
  }
}

function isDevice(level: TopicLevel): boolean {
  return level.kind === 'named' && level.name === DEVICE_LEVEL
}

// hot: per message (of a topic that its connection has not just used)
function matchLevels(
  levels: readonly Level[],
  topic: Uint8Array,
  topicSize: number,
  out: { start: number; end: number },
): boolean {
  let offset = 0
  for (let index = 0; index < levels.length; index++) {
    const level = levels[index]
    const start = offset
    if (level.kind === 'literal') {
      const { bytes } = level
      for (let i = 0; i < bytes.length; i++) if (topic[offset + i] !== bytes[i]) return false
      offset += bytes.length
      if (offset > topicSize) return false
    } else {
      while (offset < topicSize && topic[offset] !== SLASH) offset++
      if (level.kind === 'device') {
        out.start = start
        out.end = offset
      }
    }
    if (index === levels.length - 1) return offset === topicSize
    if (offset >= topicSize || topic[offset] !== SLASH) return false
    offset++
  }
  return false
}
