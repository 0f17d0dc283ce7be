/**
 * The rows of two configs over the same messages: how many of each kind, and what differs. Rows of `samples` and `dead_letters` come
 * from both at once; windows come in parts, when each config closes them, so they are kept and merged. Owned by one job of the
 * dry run. Bounded: of more windows than fit the oldest are compared as they stand.
 */

/** A window, or a part of one, as `rollups` merges them. */
export interface Pane {
  count: number
  sum: number
  min: number
  max: number
  /** Time and value. */
  first: [number, number]
  last: [number, number]
}

/** A row by what names it and what it holds. */
export type SideRow = { table: string; stream: string; window: string | null; key: string } & (
  | { value: string; pane?: undefined; latest?: undefined }
  /** A part: those of one key merge. */
  | { pane: Pane; value?: undefined; latest?: undefined }
  /** Of those of one key the last one counts; null takes back what there was. */
  | { latest: string | null; value?: undefined; pane?: undefined }
)

/** A kind of rows: a table, a stream and, of windows, which ones. */
export interface KindFindings {
  table: string
  stream: string
  window: string | null
  /** Rows of the running config, and of the one that is tried. */
  running: number
  tried: number
  onlyRunning: number
  onlyTried: number
  different: number
  examples: string[]
}

const EXAMPLE_COUNT_MAX = 5
const WINDOW_COUNT_MAX = 500_000
/** Sums in another order of the same readings. */
const SUM_TOLERANCE = 1e-9

type Window = Pane | string
type Pair = { kind: KindFindings; key: string; running: Window | null; tried: Window | null }

export class RowComparison {
  #kinds = new Map<string, KindFindings>()
  #windows = new Map<string, Pair>()
  #windowCountMax: number

  constructor(windowCountMax = WINDOW_COUNT_MAX) {
    this.#windowCountMax = windowCountMax
  }

  /** What both have made of the same messages. */
  add(running: readonly SideRow[], tried: readonly SideRow[]): void {
    const values = new Map<string, { kind: KindFindings; key: string; running: string[]; tried: string[] }>()
    for (const [side, rows] of [
      ['running', running],
      ['tried', tried],
    ] as const) {
      for (const row of rows) {
        const kind = this.#kindOf(row)
        const name = `${row.table}\n${row.stream}\n${row.window}\n${row.key}`
        if (row.value === undefined) {
          this.#merge(name, kind, row.key, side, row.pane ?? row.latest ?? null)
          continue
        }
        const pair = values.get(name) ?? { kind, key: row.key, running: [], tried: [] }
        pair[side].push(row.value)
        values.set(name, pair)
      }
    }
    for (const pair of values.values())
      compareValues(pair.kind, pair.key, pair.running.sort(), pair.tried.sort())
    if (this.#windows.size > this.#windowCountMax) this.#settle(this.#windows.size >> 1)
  }

  /** Nothing more comes. */
  finish(): KindFindings[] {
    this.#settle(this.#windows.size)
    return [...this.#kinds.values()]
  }

  #kindOf({ table, stream, window }: SideRow): KindFindings {
    const name = `${table}\n${stream}\n${window}`
    const known = this.#kinds.get(name)
    if (known !== undefined) return known
    const counts = { running: 0, tried: 0, onlyRunning: 0, onlyTried: 0, different: 0 }
    const kind: KindFindings = { table, stream, window, ...counts, examples: [] }
    this.#kinds.set(name, kind)
    return kind
  }

  #merge(
    name: string,
    kind: KindFindings,
    key: string,
    side: 'running' | 'tried',
    window: Window | null,
  ): void {
    const pair = this.#windows.get(name) ?? { kind, key, running: null, tried: null }
    this.#windows.set(name, pair)
    const into = pair[side]
    if (window === null || typeof window === 'string') pair[side] = window
    else if (into === null || typeof into === 'string') pair[side] = { ...window }
    else mergePane(into, window)
  }

  /** Compares the oldest windows, and forgets them. */
  #settle(count: number): void {
    let left = count
    for (const [name, { kind, key, running, tried }] of this.#windows) {
      if (left-- === 0) return
      this.#windows.delete(name)
      if (isSame(running, tried)) {
        kind.running++
        kind.tried++
      } else compareValues(kind, key, textsOf(running), textsOf(tried))
    }
  }
}

/** Both sorted; rows of one key that both have are the same row. */
function compareValues(kind: KindFindings, key: string, running: string[], tried: string[]): void {
  kind.running += running.length
  kind.tried += tried.length
  if (running.length === tried.length && running.every((value, index) => value === tried[index])) return
  const common = Math.min(running.length, tried.length)
  kind.onlyRunning += running.length - common
  kind.onlyTried += tried.length - common
  for (let i = 0; i < common; i++) if (running[i] !== tried[i]) kind.different++
  if (kind.examples.length >= EXAMPLE_COUNT_MAX) return
  const [was, is] = [running, tried].map((values) => values.join(' and ') || 'no row')
  kind.examples.push(`${key}: ${was} -> ${is}`)
}

function textsOf(window: Window | null): string[] {
  if (window === null) return []
  if (typeof window === 'string') return [window]
  const { count, sum, min, max, first, last } = window
  return [`count ${count}, sum ${sum}, min ${min}, max ${max}, first ${first[1]}, last ${last[1]}`]
}

function mergePane(into: Pane, pane: Pane): void {
  into.count += pane.count
  into.sum += pane.sum
  into.min = Math.min(into.min, pane.min)
  into.max = Math.max(into.max, pane.max)
  if (isBefore(pane.first, into.first)) into.first = pane.first
  if (isBefore(into.last, pane.last)) into.last = pane.last
}

function isBefore(a: [number, number], b: [number, number]): boolean {
  return a[0] < b[0] || (a[0] === b[0] && a[1] < b[1])
}

function isSame(a: Window | null, b: Window | null): boolean {
  if (a === null || b === null || typeof a === 'string' || typeof b === 'string') return a !== null && a === b
  const exact = ({ count, min, max, first, last }: Pane) => [count, min, max, ...first, ...last]
  const others = exact(b)
  const isExact = exact(a).every((value, index) => value === others[index])
  return isExact && Math.abs(a.sum - b.sum) <= SUM_TOLERANCE * Math.max(Math.abs(a.sum), Math.abs(b.sum), 1)
}

/** Findings of several shards as one. */
export function mergeFindings(all: readonly KindFindings[][]): KindFindings[] {
  const kinds = new Map<string, KindFindings>()
  for (const found of all.flat()) {
    const name = `${found.table}\n${found.stream}\n${found.window}`
    const into = kinds.get(name)
    if (into === undefined) {
      kinds.set(name, { ...found })
      continue
    }
    for (const count of ['running', 'tried', 'onlyRunning', 'onlyTried', 'different'] as const)
      into[count] += found[count]
    into.examples = [...into.examples, ...found.examples].slice(0, EXAMPLE_COUNT_MAX)
  }
  return [...kinds.values()]
}
