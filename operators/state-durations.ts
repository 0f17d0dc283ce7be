/**
 * How long each state lasted, in whole milliseconds: a chain of states per window, in blocks of four doubles: text, number,
 * duration, next. A state is a text's number (ordered-texts.ts), or text 0 and a number. Durations are whole, so that they add up
 * exactly in any order. One owner: the operator that keeps the head of the chain.
 */
import { BLOCK_PAGE_LOG2, BLOCK_PLACE_MASK } from './double-blocks.ts'
import type { OrderedMemory } from './ordered-memory.ts'
import type { WindowRows } from './ordered-rows.ts'
import { UNKNOWN_TEXT } from './ordered-texts.ts'

const NODE_LOG2 = 2
const TEXT = 0
const NUMBER = 1
const MS = 2
const NEXT = 3
/** States of one window; with more it is left to an amendment. */
const STATES_MAX = 64

/** What `addDuration` says when the chain has no room. */
export const NO_ROOM = -1

/** Adds to a state's duration; returns the chain's head, or NO_ROOM. What comes to 0 leaves the chain. */
export function addDuration(
  memory: OrderedMemory,
  head: number,
  text: number,
  x: number,
  ms: number,
): number {
  if (ms === 0) return head
  let length = 0
  let previous = 0
  for (let node = head; node !== 0; length++) {
    const page = memory.pages[node >>> BLOCK_PAGE_LOG2]
    const at = node & BLOCK_PLACE_MASK
    if (page[at + NUMBER] === x && page[at + TEXT] === text) {
      page[at + MS] += ms
      return page[at + MS] === 0 ? unlink(memory, head, previous, node) : head
    }
    previous = node
    node = page[at + NEXT]
  }
  if (length >= STATES_MAX || memory.isFull) return NO_ROOM
  const node = memory.take(NODE_LOG2)
  const page = memory.pages[node >>> BLOCK_PAGE_LOG2]
  const at = node & BLOCK_PLACE_MASK
  page[at + TEXT] = text
  page[at + NUMBER] = x
  page[at + MS] = ms
  page[at + NEXT] = 0
  if (previous === 0) return node
  setNext(memory, previous, node)
  return head
}

/** Adds all of a chain to another; returns the other's head, or NO_ROOM. */
export function addDurations(memory: OrderedMemory, head: number, from: number): number {
  let into = head
  for (let node = from; node !== 0; ) {
    const page = memory.pages[node >>> BLOCK_PAGE_LOG2]
    const at = node & BLOCK_PLACE_MASK
    const next = page[at + NEXT]
    const larger = addDuration(memory, into, page[at + TEXT], page[at + NUMBER], page[at + MS])
    if (larger === NO_ROOM) {
      freeDurations(memory, into)
      return NO_ROOM
    }
    into = larger
    node = next
  }
  return into
}

export function freeDurations(memory: OrderedMemory, head: number): void {
  for (let node = head; node !== 0; ) {
    const next = memory.pages[node >>> BLOCK_PAGE_LOG2][(node & BLOCK_PLACE_MASK) + NEXT]
    memory.give(node, NODE_LOG2)
    node = next
  }
}

/** True when a text without a number is among the states. */
export function hasUnknownState(memory: OrderedMemory, head: number): boolean {
  for (let node = head; node !== 0; ) {
    const page = memory.pages[node >>> BLOCK_PAGE_LOG2]
    const at = node & BLOCK_PLACE_MASK
    if (page[at + TEXT] === UNKNOWN_TEXT) return true
    node = page[at + NEXT]
  }
  return false
}

/** Appends the states to the newest row. */
export function writeDurations(memory: OrderedMemory, head: number, rows: WindowRows): void {
  for (let node = head; node !== 0; ) {
    const page = memory.pages[node >>> BLOCK_PAGE_LOG2]
    const at = node & BLOCK_PLACE_MASK
    rows.appendState(page[at + TEXT], page[at + NUMBER], page[at + MS])
    node = page[at + NEXT]
  }
}

function setNext(memory: OrderedMemory, node: number, next: number): void {
  memory.pages[node >>> BLOCK_PAGE_LOG2][(node & BLOCK_PLACE_MASK) + NEXT] = next
}

function unlink(memory: OrderedMemory, head: number, previous: number, node: number): number {
  const next = memory.pages[node >>> BLOCK_PAGE_LOG2][(node & BLOCK_PLACE_MASK) + NEXT]
  memory.give(node, NODE_LOG2)
  if (previous === 0) return next
  setNext(memory, previous, next)
  return head
}
