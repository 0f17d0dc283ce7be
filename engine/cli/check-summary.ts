/** What a config would do, in words and figures, for `millrace check`. */
import type { DetectorSpec } from '../../operators/detect/detector-spec.ts'
import { isCompression, type PointSpec } from '../../operators/downsample/point-spec.ts'
import { durationLabel } from '../../operators/window-spec.ts'
import type {
  MillraceConfig,
  Selection,
  StreamDetector,
  StreamDownsampler,
  StreamOperator,
} from '../config.ts'
import { detectorSizeBytes, stateSizeBytes } from '../state-estimate.ts'
import { tablesOf, VIEWS } from '../window-tables.ts'

export interface StreamSummary {
  name: string
  topic: string
  codec: string
  /** In words; null for all. */
  metrics: string | null
  units: Record<string, string>
  steps: string[]
  /** Null: no rows in samples. */
  samples: { retention: string | null } | null
  branches: string[]
  operators: {
    window: string
    aggregates: string[]
    early: string | null
    tables: string[]
    retention: string | null
    /** Numbers of those that feed it; empty when all do. */
    branches: number[]
    stateSizeBytes: number
  }[]
  downsamplers: {
    method: string
    /** Null: all of the branches'. */
    metrics: string[] | null
    retention: string | null
    /** In words. */
    settings: string
    branches: number[]
    stateSizeBytes: number
  }[]
  detectors: {
    name: string
    detector: string
    /** Null: all of the branches'. */
    metrics: string[] | null
    /** In words. */
    settings: string
    branches: number[]
    stateSizeBytes: number
  }[]
  /** Of a series with all of them, which share what they can. */
  stateSizeBytes: number
}

export function summaryOf(config: MillraceConfig): StreamSummary[] {
  return config.streams.map(({ name, topic }, index) => {
    const pipeline = config.pipelines[index]
    const isWhole = ({ branches }: StreamOperator | StreamDownsampler | StreamDetector) =>
      branches.length === pipeline.branches.length
    return {
      name,
      topic,
      codec: pipeline.codec,
      metrics: selectionText(pipeline.selection),
      units: pipeline.units,
      steps: pipeline.steps.map((step) => {
        if (step.kind === 'filter') return 'filter'
        return step.kind === 'map' ? `map ${step.metric}` : `derive ${step.name}`
      }),
      samples: pipeline.isRaw ? { retention: retentionText(pipeline.rawRetentionMs) } : null,
      branches: pipeline.branches.map(({ selection, filter }) => {
        const texts = [selectionText(selection) ?? '', filter === null ? '' : 'a filter']
        return texts.filter((text) => text !== '').join(', ') || 'all readings'
      }),
      operators: pipeline.operators.map((operator) => ({
        window: operator.label,
        aggregates: operator.spec.aggregates,
        early: retentionText(operator.spec.earlyMs),
        tables: tablesOf(operator.spec).map((table) => VIEWS[table]),
        retention: retentionText(operator.retentionMs),
        branches: isWhole(operator) ? [] : operator.branches,
        stateSizeBytes: stateSizeBytes([operator.spec], [], config.windows),
      })),
      downsamplers: pipeline.downsamplers.map((downsampler) => ({
        method: downsampler.label,
        metrics: downsampler.metrics,
        retention: retentionText(downsampler.retentionMs),
        settings: pointsText(downsampler.spec),
        branches: isWhole(downsampler) ? [] : downsampler.branches,
        stateSizeBytes: stateSizeBytes([], [downsampler.spec], config.windows),
      })),
      detectors: pipeline.detectors.map((detector) => ({
        name: detector.label,
        detector: detector.spec.kind,
        metrics: detector.spec.metrics,
        settings: settingsText(detector.spec),
        branches: isWhole(detector) ? [] : detector.branches,
        stateSizeBytes: detectorSizeBytes(detector.spec, config.windows),
      })),
      stateSizeBytes: stateSizeBytes(
        pipeline.operators.map(({ spec }) => spec),
        pipeline.downsamplers.map(({ spec }) => spec),
        config.windows,
      ),
    }
  })
}

function retentionText(ms: number | null): string | null {
  return ms === null ? null : durationLabel(ms)
}

function selectionText({ include, exclude }: Selection): string | null {
  const texts = [
    include === null ? '' : include.join(', '),
    exclude.length === 0 ? '' : `not ${exclude.join(', ')}`,
  ]
  return texts.filter((text) => text !== '').join(', but ') || null
}

function pointsText(spec: PointSpec): string {
  if (!isCompression(spec)) {
    const countMax = { mean: 1, 'min-max': 2, m4: 4, lttb: spec.points, 'minmax-lttb': spec.points }
    return `at most ${countMax[spec.method]} of each window`
  }
  const { deviation, pointsPerHour, longestMs } = spec
  const strength =
    deviation === null ? `at most ${pointsPerHour} an hour` : `dropped readings are within ${deviation}`
  return `${strength}, one each ${durationLabel(longestMs)} at the least`
}

function settingsText(spec: DetectorSpec): string {
  const { quietMs, coolDownMs } = spec
  const coolDown = coolDownMs === 0 ? 'no cool-down' : `cool-down ${durationLabel(coolDownMs)}`
  switch (spec.kind) {
    case 'missing': {
      const least = spec.silenceMsMin === 0 ? '' : `, ${durationLabel(spec.silenceMsMin)} at the least`
      return `overdue after ${spec.intervals} usual intervals${least}, ${coolDown}`
    }
    case 'limits': {
      const { low, high, hysteresis } = spec
      const limits = `${low ?? 'any'} to ${high ?? 'any'}${hysteresis === 0 ? '' : `, back by ${hysteresis}`}`
      return `${limits}, over after ${durationLabel(quietMs)}, ${coolDown}`
    }
    case 'multivariate':
      return `limit ${spec.limit} deviations, over after ${durationLabel(quietMs)}, ${coolDown}`
    default:
      return `over after ${durationLabel(quietMs)}, ${coolDown}`
  }
}
