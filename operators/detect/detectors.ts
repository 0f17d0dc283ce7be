/**
 * The detectors over one series by their names, as the command line and a config call them, each with its
 * defaults.
 */
import { AdaptiveDetector } from './adaptive.ts'
import { EwmaDetector } from './ewma.ts'
import { FixedLimitsDetector, type LimitSettings } from './fixed-limits.ts'
import { FlatlineDetector } from './flatline.ts'
import { HampelDetector } from './hampel.ts'
import { PageHinkleyDetector } from './page-hinkley.ts'
import { RateDetector } from './rate-of-change.ts'
import { SeasonalDetector } from './seasonal.ts'
import type { SeriesDetector } from './series-detector.ts'

/** The one detector that has no defaults. */
export const LIMITS = 'limits'

const MAKERS: Record<string, (limits: LimitSettings) => SeriesDetector> = {
  adaptive: () => new AdaptiveDetector(),
  hampel: () => new HampelDetector(),
  ewma: () => new EwmaDetector(),
  'page-hinkley': () => new PageHinkleyDetector(),
  seasonal: () => new SeasonalDetector(),
  rate: () => new RateDetector(),
  flatline: () => new FlatlineDetector(),
  [LIMITS]: (limits) => new FixedLimitsDetector(limits),
}

/** The first one is the default. */
export const DETECTOR_NAMES: readonly string[] = Object.keys(MAKERS)

const NO_LIMITS = { low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY, hysteresis: 0 }

/** A new detector; undefined when there is none of that name. Throws DetectorSettingsError. */
export function createDetector(
  name: string,
  limits: Partial<LimitSettings> = {},
): SeriesDetector | undefined {
  return Object.hasOwn(MAKERS, name) ? MAKERS[name]({ ...NO_LIMITS, ...limits }) : undefined
}
