/** What a detector has to say, once its batch's mark is durable: for commands, for NATS, for whoever listens. Plain data. */
import type { EpisodeState, Severity } from '../../operators/detect/episodes.ts'

/**
 * A change of an episode. (stream, device, metric, detector, raisedMs) names the episode; after a crash an alert may come
 * again, the same one.
 */
export interface Alert {
  stream: string
  device: string
  metric: string
  detector: string
  state: keyof typeof EpisodeState
  severity: keyof typeof Severity
  /** When the episode was raised, and when this happened: event time, of 'missing' detectors the journal's. */
  raisedMs: number
  atMs: number
  /** The worst of the episode so far: its score, the value, and where it was expected; NaN for what is not known. */
  score: number
  value: number
  expectedLow: number
  expectedHigh: number
}
