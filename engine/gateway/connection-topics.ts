/**
 * The topics of one connection: the last one it published to, and those it gave a number (MQTT 5). Owner: the
 * gateway's thread.
 */
import { ReasonCode } from '../../codecs/mqtt/packet.ts'
import type { PublishFields } from '../../codecs/mqtt/publish.ts'
import { isTopicNameValid } from '../../codecs/mqtt/topic.ts'
import type { Access } from '../registry/access.ts'
import { TopicRoute, type TopicRouter } from './topic-router.ts'

const DOLLAR = 0x24
/** Of `find`: the client may not publish to that topic. Not a ReasonCode. */
export const NOT_ALLOWED = -3

export class ConnectionTopics {
  /** The route of the last call of `find`. */
  route = new TopicRoute()
  #last = this.route
  #aliases: (TopicRoute | undefined)[] | null = null
  #router: TopicRouter
  #access: Access
  #clientHash: number
  #aliasMaximum: number

  constructor(router: TopicRouter, access: Access, clientHash: number, aliasMaximum: number) {
    this.#router = router
    this.#access = access
    this.#clientHash = clientHash
    this.#aliasMaximum = aliasMaximum
    this.#last.clientHash = clientHash
  }

  /** Sets `route` for the topic, or the alias, of a PUBLISH. Returns 0, a ReasonCode, or NOT_ALLOWED. */
  // hot: per message
  find(bytes: Uint8Array, fields: PublishFields): number {
    if (fields.topicAlias !== 0) return this.#findAlias(bytes, fields)
    const route = this.#last
    this.route = route
    if (!route.isTopic(bytes, fields.topicStart, fields.topicEnd)) {
      const fault = this.#resolve(route, bytes, fields.topicStart, fields.topicEnd)
      if (fault !== 0) return fault
    }
    return route.isAllowed ? 0 : NOT_ALLOWED
  }

  /** What the client may publish to has changed. */
  accessChanged(): void {
    this.#decide(this.#last)
    for (const route of this.#aliases ?? []) if (route !== undefined) this.#decide(route)
  }

  // hot: per message
  #findAlias(bytes: Uint8Array, { topicAlias, topicStart, topicEnd }: PublishFields): number {
    if (topicAlias > this.#aliasMaximum) return ReasonCode.TOPIC_ALIAS_INVALID
    let route = this.#aliases?.[topicAlias - 1]
    if (topicStart === topicEnd) {
      if (route === undefined) return ReasonCode.PROTOCOL_ERROR
      this.route = route
      return route.isAllowed ? 0 : NOT_ALLOWED
    }
    if (route === undefined) {
      route = new TopicRoute()
      route.clientHash = this.#clientHash
    }
    this.route = route
    if (!route.isTopic(bytes, topicStart, topicEnd)) {
      const fault = this.#resolve(route, bytes, topicStart, topicEnd)
      if (fault !== 0) return fault
      this.#aliases ??= new Array(this.#aliasMaximum).fill(undefined)
      this.#aliases[topicAlias - 1] = route
    }
    return route.isAllowed ? 0 : NOT_ALLOWED
  }

  // hot: per message (of a topic that its connection has not just used)
  #resolve(route: TopicRoute, bytes: Uint8Array, start: number, end: number): number {
    if (this.#router.isTooDeep(bytes, start, end)) return ReasonCode.TOPIC_NAME_INVALID
    // Topics that begin with $ are the server's own.
    if (bytes[start] === DOLLAR || !isTopicNameValid(bytes, start, end)) return ReasonCode.TOPIC_NAME_INVALID
    route.setTopic(bytes, start, end)
    this.#router.resolve(route)
    this.#decide(route)
    return 0
  }

  /** Once per connection and topic: a route keeps what was decided. */
  #decide(route: TopicRoute): void {
    route.isAllowed = this.#access.mayPublish(route.topic, 0, route.topicSize)
  }
}
