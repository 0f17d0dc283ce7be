/** What one connection may publish and subscribe to: its role's rules, bound to it. Owner: the gateway's thread. */

import { assert } from '../../base/assert.ts'
import { splitSharedFilter } from '../../codecs/mqtt/topic.ts'
import type { RoleConfig } from '../config.ts'
import {
  type BoundRule,
  bindRule,
  coversFilter,
  matchesTopic,
  parseRule,
  type RuleLevel,
  type Subject,
} from './access-rule.ts'

/** A role's rules, parsed once. */
export class Role {
  readonly publish: readonly RuleLevel[][]
  readonly subscribe: readonly RuleLevel[][]
  /** Whether it asks who is in which group. */
  readonly usesMembers: boolean
  /** Whether it differs by client identifier. */
  readonly usesClient: boolean

  constructor({ publish, subscribe }: RoleConfig) {
    this.publish = publish.map(parsed)
    this.subscribe = subscribe.map(parsed)
    const kinds = [...this.publish, ...this.subscribe].flatMap((rule) => rule.map(({ kind }) => kind))
    this.usesMembers = kinds.includes('member')
    this.usesClient = kinds.includes('client')
  }
}

function parsed(rule: string): RuleLevel[] {
  const levels = parseRule(rule)
  assert(levels !== null, 'the config was checked')
  return levels
}

export class Access {
  #publish: readonly BoundRule[]
  #subscribe: readonly BoundRule[]

  constructor(role: Role, subject: Subject) {
    this.#publish = role.publish.flatMap((rule) => bindRule(rule, subject))
    this.#subscribe = role.subscribe.flatMap((rule) => bindRule(rule, subject))
  }

  /** Whether it may publish to the topic bytes[start, end), which is valid. */
  // hot: per message (of a topic that its connection has not just used)
  mayPublish(bytes: Uint8Array, start: number, end: number): boolean {
    const rules = this.#publish
    for (let i = 0; i < rules.length; i++) if (matchesTopic(rules[i], bytes, start, end)) return true
    return false
  }

  /** Whether one rule covers all that the filter, which is valid, takes; what only several do together is refused. */
  maySubscribe(filter: string): boolean {
    const ofTopics = splitSharedFilter(filter)?.filter ?? filter
    return this.#subscribe.some((rule) => coversFilter(rule, ofTopics))
  }
}
