/**
 * From topic filters to the subscribers whose filters match a topic: a trie of levels with `+`, `#` and the
 * rule for topics that begin with `$` (MQTT 5.0, section 4.7). Owner: the gateway's thread. Invariant: a node
 * has a subscriber or a child, so an empty index holds no memory, and one match visits each node at most
 * once.
 */

export interface SubscriptionBounds {
  /** Subscriptions: pairs of a filter and a subscriber. */
  countMax: number
  /** Levels in a filter. */
  depthMax: number
  /** Nodes of the trie: what its memory goes with. */
  nodeCountMax: number
}

const DEFAULT_BOUNDS: SubscriptionBounds = { countMax: 1_000_000, depthMax: 64, nodeCountMax: 4_000_000 }

const DOLLAR = 0x24

interface Node<T> {
  /** By the level's text; null until there is one. */
  children: Map<string, Node<T>> | null
  /** The child for `+`. */
  plus: Node<T> | null
  /** Subscribers of the filter that ends here. */
  exact: Set<T> | null
  /** Subscribers of the filter that goes on with `#` and ends. */
  rest: Set<T> | null
}

export class SubscriptionIndex<T> {
  readonly bounds: SubscriptionBounds
  /** Changes with every change of the index, so that what was made from a match can be kept until then. */
  version = 0
  /** Subscriptions now held. */
  count = 0
  /** Nodes below the root. */
  nodeCount = 0
  #root: Node<T> = emptyNode()

  constructor(bounds: Partial<SubscriptionBounds> = {}) {
    this.bounds = { ...DEFAULT_BOUNDS, ...bounds }
  }

  /**
   * Adds a subscriber under a valid filter (`isTopicFilterValid`; of a shared one, the part behind its name).
   * Adding the same pair again changes nothing. Returns false when the index is full or the filter is too
   * deep.
   */
  add(filter: string, subscriber: T): boolean {
    const levels = filter.split('/')
    const { countMax, depthMax, nodeCountMax } = this.bounds
    if (levels.length > depthMax) return false
    if (this.#find(levels)?.has(subscriber)) return true
    if (this.count >= countMax || this.nodeCount + levels.length > nodeCountMax) return false
    this.#make(levels).add(subscriber)
    this.count++
    this.version++
    return true
  }

  /** Removes a subscriber from a filter; false when it was not there. */
  remove(filter: string, subscriber: T): boolean {
    const levels = filter.split('/')
    if (levels.length > this.bounds.depthMax) return false
    if (!this.#removeFrom(this.#root, levels, 0, subscriber)) return false
    this.count--
    this.version++
    return true
  }

  /**
   * Appends to `into` the subscriber of every filter that matches the topic: one that holds several matching
   * filters comes once for each. No order is promised.
   */
  // hot: per message
  match(topic: string, into: T[]): void {
    // [MQTT-4.7.2-1]: wildcards in the first level do not match names that begin with $.
    const areWildcardsHidden = topic.charCodeAt(0) === DOLLAR
    collect(this.#root, topic, 0, areWildcardsHidden, into)
  }

  #find(levels: string[]): Set<T> | null {
    let node: Node<T> | null | undefined = this.#root
    for (const level of levels) {
      if (level === '#') return node.rest
      node = level === '+' ? node.plus : node.children?.get(level)
      if (!node) return null
    }
    return node.exact
  }

  #make(levels: string[]): Set<T> {
    let node = this.#root
    for (const level of levels) {
      if (level === '#') {
        node.rest ??= new Set()
        return node.rest
      }
      if (level === '+') {
        node.plus ??= this.#newNode()
        node = node.plus
        continue
      }
      node.children ??= new Map()
      let child = node.children.get(level)
      if (child === undefined) {
        child = this.#newNode()
        node.children.set(level, child)
      }
      node = child
    }
    node.exact ??= new Set()
    return node.exact
  }

  #newNode(): Node<T> {
    this.nodeCount++
    return emptyNode()
  }

  /** Removes below `node` and takes away what has become empty. Recursion is bounded by `depthMax`. */
  #removeFrom(node: Node<T>, levels: string[], depth: number, subscriber: T): boolean {
    if (depth === levels.length) {
      if (!node.exact?.delete(subscriber)) return false
      if (node.exact.size === 0) node.exact = null
      return true
    }
    const level = levels[depth]
    if (level === '#') {
      if (!node.rest?.delete(subscriber)) return false
      if (node.rest.size === 0) node.rest = null
      return true
    }
    const child = level === '+' ? node.plus : node.children?.get(level)
    if (!child || !this.#removeFrom(child, levels, depth + 1, subscriber)) return false
    if (!isEmpty(child)) return true
    this.nodeCount--
    if (level === '+') node.plus = null
    else node.children?.delete(level)
    if (node.children?.size === 0) node.children = null
    return true
  }
}

function emptyNode<T>(): Node<T> {
  return { children: null, plus: null, exact: null, rest: null }
}

// hot: per level of a topic
function collect<T>(
  node: Node<T>,
  topic: string,
  start: number,
  areWildcardsHidden: boolean,
  into: T[],
): void {
  if (node.rest !== null && !areWildcardsHidden) append(node.rest, into)
  if (node.plus === null && node.children === null) return
  const slash = topic.indexOf('/', start)
  const isLast = slash < 0
  const level = isLast ? topic.slice(start) : topic.slice(start, slash)
  const child = node.children?.get(level)
  if (child !== undefined) {
    if (isLast) appendEnd(child, into)
    else collect(child, topic, slash + 1, false, into)
  }
  if (node.plus !== null && !areWildcardsHidden) {
    if (isLast) appendEnd(node.plus, into)
    else collect(node.plus, topic, slash + 1, false, into)
  }
}

/** What a topic that ends at this node reaches: `a/#` matches `a` too. */
function appendEnd<T>(node: Node<T>, into: T[]): void {
  if (node.exact !== null) append(node.exact, into)
  if (node.rest !== null) append(node.rest, into)
}

function append<T>(subscribers: Set<T>, into: T[]): void {
  for (const subscriber of subscribers) into.push(subscriber)
}

function isEmpty<T>(node: Node<T>): boolean {
  return node.exact === null && node.rest === null && node.plus === null && node.children === null
}
