/** The detectors over one series by their names, as the command line and a config call them, each with its defaults. */
import { AdaptiveDetector } from './adaptive.ts'
import { EwmaDetector } from './ewma.ts'
import { FlatlineDetector } from './flatline.ts'
import type { SeriesDetector } from './series-detector.ts'

const MAKERS: Record<string, () => SeriesDetector> = {
  adaptive: () => new AdaptiveDetector(),
  ewma: () => new EwmaDetector(),
  flatline: () => new FlatlineDetector(),
}

export const DETECTOR_NAMES: readonly string[] = Object.keys(MAKERS)

/** A new detector with its default settings; undefined when there is none of that name. */
export function createDetector(name: string): SeriesDetector | undefined {
  return Object.hasOwn(MAKERS, name) ? MAKERS[name]() : undefined
}
