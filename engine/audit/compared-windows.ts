/**
 * Which windows and points can be compared with `samples`, by the layout of the operators: those whose readings are all in it, and can
 * be told from others in SQL. Pure.
 */
import type { PointSpec } from '../../operators/downsample/point-spec.ts'
import type { WindowSpec } from '../../operators/window-spec.ts'
import type { Selection } from '../config.ts'
import type { StreamLayout } from '../config-layout.ts'
import { takesAll } from '../steps/metric-filter.ts'
import { quoteString } from '../store/sql-tokens.ts'

export interface ComparedWindow {
  stream: string
  label: string
  spec: WindowSpec
  /** Of the stream's readings, those that it takes: SQL over `metric`. */
  condition: string
}

export interface ComparedPoints extends Omit<ComparedWindow, 'spec'> {
  spec: PointSpec
}

export interface ComparedWindows {
  windows: ComparedWindow[]
  points: ComparedPoints[]
  /** For people: what is left out, and why. */
  notes: string[]
}

export function comparedWindows(streams: readonly StreamLayout[]): ComparedWindows {
  const windows: ComparedWindow[] = []
  const points: ComparedPoints[] = []
  const notes: string[] = []
  for (const stream of streams) {
    const { name, isRaw, branches, operators, downsamplers = [] } = stream
    if (!isRaw) {
      const what = downsamplers.length === 0 ? 'windows' : 'windows and points'
      notes.push(`${what} of ${name} are not compared: its readings are not kept (raw: false)`)
      continue
    }
    for (const { label, spec, branches: of } of operators) {
      const condition = conditionOf(of.map((branch) => branches[branch]))
      if (condition !== null) windows.push({ stream: name, label, spec, condition })
      else notes.push(`windows ${label} of ${name} are not compared: a filter decides what they take`)
    }
    for (const { label, spec, metrics, branches: of } of downsamplers) {
      const condition = conditionOf(of.map((branch) => branches[branch]))
      const own = selectionSql({ include: metrics, exclude: [] })
      if (condition === null)
        notes.push(`points ${label} of ${name} are not compared: a filter decides what they take`)
      else points.push({ stream: name, label, spec, condition: `(${condition} AND ${own})` })
    }
  }
  return { windows, points, notes }
}

/** Null when a function has a say in it. */
function conditionOf(branches: StreamLayout['branches']): string | null {
  if (branches.some(({ filter, selection }) => filter === null && takesAll(selection))) return '1'
  if (branches.some(({ filter }) => filter !== null)) return null
  return `(${branches.map(({ selection }) => selectionSql(selection)).join(' OR ')})`
}

function selectionSql({ include, exclude }: Selection): string {
  const anyOf = (patterns: readonly string[]) =>
    patterns.length === 0
      ? '0'
      : patterns.map((pattern) => `metric LIKE ${likePattern(pattern)}`).join(' OR ')
  const included = include === null ? '1' : `(${anyOf(include)})`
  return `(${included} AND NOT (${anyOf(exclude)}))`
}

/** `*` is `%`. */
function likePattern(pattern: string): string {
  return quoteString(pattern.replaceAll(/[\\%_]/g, '\\$&').replaceAll('*', '%'))
}
