/**
 * Which detectors there are, and whose readings they see. Each stands by itself, so that what it learned outlives a change of its
 * neighbours; streams with the same detector over every reading share it. Pure; runs once, at start.
 */
import { type DetectorSpec, stateVersion } from '../../operators/detect/detector-spec.ts'
import type { Branch } from '../config.ts'
import { fingerprint } from '../config-layout.ts'
import { takesAll } from '../steps/metric-filter.ts'
import { EVERY_BRANCH } from '../steps/row-branches.ts'
import type { PipelineStream } from './pipeline-stream.ts'

export interface DetectorPlan {
  /** Names it in a snapshot: what it is told to do, and the version of its state, which the first one does without. */
  key: string
  /** As the column `detector` names it. */
  label: string
  spec: DetectorSpec
  /** The streams whose readings it sees. */
  streams: number[]
  /** The branches whose readings it sees, as bits. */
  branches: number
}

export function planDetectors(streams: readonly PipelineStream[]): DetectorPlan[] {
  const plans = new Map<string, DetectorPlan>()
  for (const [index, { stream, pipeline }] of streams.entries()) {
    for (const { label, spec, branches } of pipeline.detectors) {
      const fed = branches.map((branch) => pipeline.branches[branch])
      const isWhole = fed.some(({ filter, selection }) => filter === null && takesAll(selection))
      const sees = isWhole ? '' : JSON.stringify([stream.name, fed.map(nameOf)])
      const version = stateVersion(spec.kind)
      const key = JSON.stringify([sees, label, spec, ...(version === 1 ? [] : [version])])
      const same = plans.get(key)
      const bits = isWhole ? EVERY_BRANCH : branches.reduce((sum, branch) => sum | (1 << branch), 0)
      if (same === undefined) plans.set(key, { key, label, spec, streams: [index], branches: bits })
      else same.streams.push(index)
    }
  }
  return [...plans.values()]
}

function nameOf({ filter, selection }: Branch): unknown {
  return [selection, filter === null ? null : fingerprint(filter)]
}
