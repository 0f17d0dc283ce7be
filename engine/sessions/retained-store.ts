/**
 * The retained messages: one for each topic, found by filters through a trie of levels. Owned by the session thread.
 * Bounded by count and bytes: what finds no room is refused, and the old message of that topic stays. Invariant: a node
 * has a message or a child.
 */
import type { StoredMessage } from './stored-message.ts'

export interface RetainedBounds {
  countMax: number
  sizeBytesMax: number
}

/** What a message costs beside its bytes, counted into the bounds. */
const OVERHEAD_SIZE_BYTES = 256
const DOLLAR = 0x24

interface Node {
  children: Map<string, Node> | null
  message: StoredMessage | null
}

export class RetainedStore {
  count = 0
  sizeBytes = 0
  #bounds: RetainedBounds
  #root: Node = { children: null, message: null }

  constructor(bounds: RetainedBounds) {
    this.#bounds = bounds
  }

  /** Keeps the message in place of its topic's old one; false when there is no room. */
  set(topic: string, message: StoredMessage, nowMs: number): boolean {
    if (!this.#hasRoom(topic, message)) {
      this.#removeExpired(nowMs)
      if (!this.#hasRoom(topic, message)) return false
    }
    let node = this.#root
    for (const level of topic.split('/')) {
      node.children ??= new Map()
      let child = node.children.get(level)
      if (child === undefined) {
        child = { children: null, message: null }
        node.children.set(level, child)
      }
      node = child
    }
    this.#count(node.message, -1)
    this.#count(message, 1)
    node.message = message
    return true
  }

  delete(topic: string): void {
    this.#deleteBelow(this.#root, topic.split('/'), 0)
  }

  /** Calls `found` with each message whose topic matches, by topic order of the trie, until that returns false. */
  match(filter: string, nowMs: number, found: (message: StoredMessage) => boolean): void {
    const visit = (node: Node) =>
      node.message === null || isExpired(node.message, nowMs) || found(node.message)
    walkMatches(this.#root, filter.split('/'), 0, visit)
  }

  /** All, for a snapshot. */
  *messages(node: Node = this.#root): Generator<StoredMessage> {
    if (node.message !== null) yield node.message
    for (const child of node.children?.values() ?? []) yield* this.messages(child)
  }

  #hasRoom(topic: string, message: StoredMessage): boolean {
    const old = this.#find(topic)
    const sizeBytes = this.sizeBytes - sizeOf(old) + sizeOf(message)
    return (
      this.count + (old === null ? 1 : 0) <= this.#bounds.countMax && sizeBytes <= this.#bounds.sizeBytesMax
    )
  }

  #find(topic: string): StoredMessage | null {
    let node: Node | undefined = this.#root
    for (const level of topic.split('/')) {
      node = node.children?.get(level)
      if (node === undefined) return null
    }
    return node.message
  }

  #removeExpired(nowMs: number, node: Node = this.#root): void {
    for (const [level, child] of node.children ?? []) {
      this.#removeExpired(nowMs, child)
      if (child.message !== null && isExpired(child.message, nowMs)) this.#clear(child)
      if (isEmpty(child)) node.children?.delete(level)
    }
    if (node.children?.size === 0) node.children = null
  }

  #deleteBelow(node: Node, levels: string[], depth: number): void {
    if (depth === levels.length) {
      this.#clear(node)
      return
    }
    const child = node.children?.get(levels[depth])
    if (child === undefined) return
    this.#deleteBelow(child, levels, depth + 1)
    if (!isEmpty(child)) return
    node.children?.delete(levels[depth])
    if (node.children?.size === 0) node.children = null
  }

  #clear(node: Node): void {
    this.#count(node.message, -1)
    node.message = null
  }

  #count(message: StoredMessage | null, sign: number): void {
    if (message === null) return
    this.count += sign
    this.sizeBytes += sign * sizeOf(message)
  }
}

/** Returns false once `visit` has. A filter is as deep as a SUBSCRIBE may make it, a topic too: recursion is bounded. */
function walkMatches(node: Node, levels: string[], depth: number, visit: (node: Node) => boolean): boolean {
  if (depth === levels.length) return visit(node)
  const level = levels[depth]
  if (level === '#') return walkAll(node, depth === 0, visit)
  if (level !== '+') {
    const child = node.children?.get(level)
    return child === undefined || walkMatches(child, levels, depth + 1, visit)
  }
  for (const [name, child] of node.children ?? []) {
    if (depth === 0 && name.charCodeAt(0) === DOLLAR) continue // [MQTT-4.7.2-1]
    if (!walkMatches(child, levels, depth + 1, visit)) return false
  }
  return true
}

/** `a/#` matches `a` too. */
function walkAll(node: Node, isRoot: boolean, visit: (node: Node) => boolean): boolean {
  if (!visit(node)) return false
  for (const [name, child] of node.children ?? []) {
    if (isRoot && name.charCodeAt(0) === DOLLAR) continue
    if (!walkAll(child, false, visit)) return false
  }
  return true
}

function isExpired({ expiresAtMs }: StoredMessage, nowMs: number): boolean {
  return expiresAtMs <= nowMs
}

function isEmpty(node: Node): boolean {
  return node.message === null && node.children === null
}

function sizeOf(message: StoredMessage | null): number {
  return message === null ? 0 : message.bytes.length + OVERHEAD_SIZE_BYTES
}
