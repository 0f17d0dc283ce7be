/**
 * Who subscribes to what among the sessions, and which filters the gateways know. Owned by the session thread. A filter
 * that only QoS 0 is granted for is the gateways' own affair; of a shared one messages of every QoS come here.
 */
import { FieldWriter } from '../../codecs/session/fields.ts'
import { FilterFlag, SessionRecordKind, sessionRecord } from '../../codecs/session/record.ts'
import { SubscriptionIndex } from '../gateway/subscription-index.ts'
import { type SessionSubscription, SharedGroup } from './session.ts'
import type { SessionContext } from './session-context.ts'

/** One session's share of a message: all its subscriptions that match, as one. */
export interface PlannedDelivery {
  subscription: SessionSubscription
  qos: number
  isRetainKept: boolean
  identifiers: readonly number[]
}

/** In the same order after every replay. */
interface Plan {
  deliveries: PlannedDelivery[]
  groups: SharedGroup[]
}

const KEPT_PLAN_COUNT_MAX = 10_000
const SHARED = '$share/'

export class FilterBook {
  #context: SessionContext
  #index = new SubscriptionIndex<SessionSubscription | SharedGroup>()
  #groups = new Map<string, SharedGroup>()
  /** How many subscriptions each filter has that gateways were told. */
  #toldCounts = new Map<string, number>()
  #plans = new Map<string, Plan>()
  #plansVersion = 0

  constructor(context: SessionContext) {
    this.#context = context
  }

  get groupCount(): number {
    return this.#groups.size
  }

  group(name: string): SharedGroup | null {
    return this.#groups.get(name) ?? null
  }

  /** In the order in which they were made. */
  get groups(): IterableIterator<SharedGroup> {
    return this.#groups.values()
  }

  /** False when the index is full or the filter too deep. */
  add(subscription: SessionSubscription): boolean {
    const { filter } = subscription
    if (filter.startsWith(SHARED)) return this.#addShared(subscription)
    if (!this.#index.add(filter, subscription)) return false
    if (subscription.qos > 0) this.#count(filter, 1, false)
    return true
  }

  remove(subscription: SessionSubscription): void {
    const { group, filter } = subscription
    if (group === null) {
      this.#index.remove(filter, subscription)
      if (subscription.qos > 0) this.#count(filter, -1, false)
      return
    }
    group.remove(subscription)
    subscription.group = null
    if (group.members.length > 0) return
    this.#groups.delete(group.name)
    this.#index.remove(group.filter, group)
    this.#count(group.filter, -1, true)
  }

  /** Tells all that is known; after a replay, in which nothing was told. */
  tellAll(): void {
    for (const key of this.#toldCounts.keys()) this.#tell(key.slice(1), key.startsWith('s'), false)
  }

  /** Who is to get a message of that topic from that session (0 for one of a gateway's own). */
  plan(topic: string, publisher: number): Plan {
    if (this.#plansVersion !== this.#index.version || this.#plans.size >= KEPT_PLAN_COUNT_MAX) {
      this.#plans.clear()
      this.#plansVersion = this.#index.version
    }
    const kept = this.#plans.get(topic)
    if (kept !== undefined) return kept
    const found: (SessionSubscription | SharedGroup)[] = []
    this.#index.match(topic, found)
    const plan = planOf(found, publisher)
    const isOfAll = !found.some((candidate) => 'noLocal' in candidate && candidate.noLocal)
    if (isOfAll) this.#plans.set(topic, plan)
    return plan
  }

  /** Sets whose turn it was, from a snapshot. */
  setTurn(name: string, turn: number): void {
    const group = this.#groups.get(name)
    if (group !== undefined) group.turn = turn
  }

  #addShared(subscription: SessionSubscription): boolean {
    const name = subscription.filter
    let group = this.#groups.get(name)
    if (group === undefined) {
      const filter = name.slice(name.indexOf('/', SHARED.length) + 1)
      group = new SharedGroup(name, filter)
      if (!this.#index.add(filter, group)) return false
      this.#groups.set(name, group)
      this.#count(filter, 1, true)
    }
    subscription.group = group
    group.add(subscription)
    return true
  }

  #count(filter: string, change: number, isShared: boolean): void {
    const key = (isShared ? 's' : 'k') + filter
    const count = (this.#toldCounts.get(key) ?? 0) + change
    if (count > 0) this.#toldCounts.set(key, count)
    else this.#toldCounts.delete(key)
    if (count === 0 || (count === 1 && change === 1)) this.#tell(filter, isShared, count === 0)
  }

  #tell(filter: string, isShared: boolean, isRemoved: boolean): void {
    this.#context.output?.tell(
      sessionRecord(SessionRecordKind.FILTER, {
        flags: (isShared ? FilterFlag.SHARED : 0) | (isRemoved ? FilterFlag.REMOVED : 0),
        body: new FieldWriter().text(filter).finish(),
      }),
    )
  }
}

function planOf(found: readonly (SessionSubscription | SharedGroup)[], publisher: number): Plan {
  const groups: SharedGroup[] = []
  const bySession = new Map<number, SessionSubscription[]>()
  for (const candidate of found) {
    if (candidate instanceof SharedGroup) {
      groups.push(candidate)
      continue
    }
    const { handle } = candidate.session
    if (candidate.noLocal && handle === publisher) continue
    const others = bySession.get(handle)
    if (others === undefined) bySession.set(handle, [candidate])
    else others.push(candidate)
  }
  groups.sort((a, b) => (a.name < b.name ? -1 : 1))
  const deliveries = [...bySession.entries()].sort(([a], [b]) => a - b).map(([, matches]) => merge(matches))
  return { deliveries, groups }
}

function merge(matches: readonly SessionSubscription[]): PlannedDelivery {
  return {
    subscription: matches[0],
    qos: Math.max(...matches.map(({ qos }) => qos)),
    isRetainKept: matches.some(({ isRetainKept }) => isRetainKept),
    identifiers: matches
      .map(({ identifier }) => identifier)
      .filter((identifier) => identifier > 0)
      .sort((a, b) => a - b),
  }
}
