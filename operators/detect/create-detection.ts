/** The detection that a spec asks for. */
import type { Detection, DetectionTimes } from './detection.ts'
import type { DetectorSpec } from './detector-spec.ts'
import { MissingDetection } from './missing-detection.ts'
import { SeriesDetection } from './series-detection.ts'
import { VectorDetection } from './vector-detection.ts'

/** Throws DetectorSettingsError. */
export function createDetection(spec: DetectorSpec, times: DetectionTimes): Detection {
  if (spec.kind === 'missing') return new MissingDetection(spec)
  if (spec.kind === 'multivariate') return new VectorDetection(spec, times)
  return new SeriesDetection(spec, times)
}
