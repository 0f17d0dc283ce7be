/**
 * What the default detector's scores depend on, besides the shape of its code: the same for all series. They lie on a plateau, where
 * a fifth more or less of any makes little difference (bench detection); none is meant for users to turn.
 */
import type { AttentionSettings } from './attention.ts'
import type { ProfileSettings } from './day-profile.ts'
import type { PeakSettings } from './peaks.ts'

export interface AdaptiveSettings extends AttentionSettings, PeakSettings, ProfileSettings {
  /** Gain of the fastest moving average; each of the others is half a decade slower. */
  gain: number
  /** Readings over which steps are averaged. */
  restlessShort: number
  restlessLong: number
}

export const ADAPTIVE_SETTINGS: Readonly<AdaptiveSettings> = {
  gain: 0.3,
  restlessShort: 12,
  restlessLong: 48,
  // peaks.ts
  shortMemory: 40,
  longMemory: 14,
  priorWindows: 2,
  priorDeviation: 0.4,
  deviationFloor: 0.2,
  floorShare: 0.05,
  longWeight: 1.5,
  // day-profile.ts
  profileGain: 0.1,
  reachErrors: 2.5,
  errorShare: 0.45,
  offReadings: 16,
  // attention.ts
  base: 0.22,
  patience: 1.1,
  patienceDays: 14,
  habitStep: 0.055,
  habitDays: 7,
  fadeFactor: 1.6,
  fadeDays: 1,
}
