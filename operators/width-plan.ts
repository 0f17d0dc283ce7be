/**
 * Which window width is fed by which. A width that is a multiple of a narrower one takes that one's panes
 * when they leave, so a reading is added once per family, not once per width. Pure; runs once, at the start.
 */

/** A setting that makes no sense; `message` names it. */
export class WindowSettingsError extends Error {
  readonly code = 'WINDOW_SETTINGS'
}

/** A width that takes readings (level 0) and those fed from it, ascending. */
export interface WidthFamilyPlan {
  widthsMs: number[]
  /** For each level, its index in the list that was given. */
  windows: number[]
  /** For each level, the levels it feeds when a pane of it leaves. Always higher ones. */
  children: number[][]
}

const WIDTH_MS_MAX = 366 * 86_400_000

/** Throws WindowSettingsError for widths that are no whole milliseconds up to a year, doubled, or none. */
export function planFamilies(widthsMs: readonly number[]): WidthFamilyPlan[] {
  if (widthsMs.length === 0) throw new WindowSettingsError('widthsMs: at least one width is needed')
  for (const width of widthsMs) {
    if (!Number.isInteger(width) || width < 1 || width > WIDTH_MS_MAX) {
      throw new WindowSettingsError(`widthsMs: ${width} is not a whole number of 1 to ${WIDTH_MS_MAX} ms`)
    }
  }
  if (new Set(widthsMs).size !== widthsMs.length)
    throw new WindowSettingsError('widthsMs: a width stands twice')
  const families: WidthFamilyPlan[] = []
  const ascending = [...widthsMs.keys()].sort((a, b) => widthsMs[a] - widthsMs[b])
  for (const window of ascending) {
    const width = widthsMs[window]
    const family = families.find(({ widthsMs: [base] }) => width % base === 0)
    if (family === undefined) families.push({ widthsMs: [width], windows: [window], children: [[]] })
    else addToFamily(family, width, window)
  }
  return families
}

/** Feeds from the widest member that divides the width: the fewest panes to merge. */
function addToFamily(family: WidthFamilyPlan, width: number, window: number): void {
  const feeder = family.widthsMs.findLastIndex((narrower) => width % narrower === 0)
  family.children[feeder].push(family.widthsMs.length)
  family.children.push([])
  family.widthsMs.push(width)
  family.windows.push(window)
}
