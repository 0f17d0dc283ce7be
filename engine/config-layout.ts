/**
 * What of a config decides which rows journalled messages become, as plain data: it is kept beside the journals, compared
 * with, and sent to threads. Functions stand in it by a fingerprint of their source, so that a thread that has read the
 * config file itself can put them back. Pure.
 */
import { createHash } from 'node:crypto'
import type {
  Codec,
  MillraceConfig,
  Selection,
  Step,
  StreamDetector,
  StreamDownsampler,
  StreamOperator,
  StreamPipeline,
  WindowConfig,
} from './config.ts'

/** `code` is the fingerprint of the function. */
export type StepLayout =
  | { kind: 'filter'; code: string }
  | { kind: 'map'; metric: string; code: string }
  | { kind: 'derive'; name: string; code: string }

export interface StreamLayout {
  name: string
  topic: string
  codec: Codec
  selection: Selection
  isRaw: boolean
  steps: StepLayout[]
  branches: { selection: Selection; filter: string | null }[]
  operators: Omit<StreamOperator, 'retentionMs'>[]
  /** Left out when there are none, as in layouts of before there were any. */
  downsamplers?: Omit<StreamDownsampler, 'retentionMs'>[]
  /** Likewise. */
  detectors?: StreamDetector[]
}

/** Retention and units are not in it: they change nothing that is journalled. */
export interface ConfigLayout {
  streams: StreamLayout[]
  windows: WindowConfig
  metricsPerDeviceMax: number
  /** Left out in layouts of before there were detectors. */
  detectedSeriesMax?: number
}

/** A function's source as it stands in the file; what it closes over is not in it. */
export function fingerprint(fn: (...args: never[]) => unknown): string {
  return createHash('sha256').update(fn.toString()).digest('hex').slice(0, 32)
}

export function layoutOf(config: MillraceConfig): ConfigLayout {
  const streams = config.streams.map(({ name, topic }, index): StreamLayout => {
    const { codec, selection, isRaw, steps, branches, operators, downsamplers, detectors } =
      config.pipelines[index]
    return {
      name,
      topic,
      codec,
      selection,
      isRaw,
      steps: steps.map(stepLayout),
      branches: branches.map((branch) => ({
        selection: branch.selection,
        filter: branch.filter === null ? null : fingerprint(branch.filter),
      })),
      operators: operators.map(({ label, spec, branches }) => ({ label, spec, branches })),
      ...(downsamplers.length === 0 ? {} : { downsamplers: downsamplers.map(withoutRetention) }),
      ...(detectors.length === 0 ? {} : { detectors }),
    }
  })
  const { metricsPerDeviceMax, detectedSeriesMax } = config.limits
  return { streams, windows: config.windows, metricsPerDeviceMax, detectedSeriesMax }
}

function withoutRetention({
  retentionMs: _,
  ...downsampler
}: StreamDownsampler): Omit<StreamDownsampler, 'retentionMs'> {
  return downsampler
}

function stepLayout(step: Step): StepLayout {
  const { fn, ...rest } = step
  return { ...rest, code: fingerprint(fn) }
}

/**
 * The pipelines of a layout, with functions of `config`, which may be another config than the layout's. What is missing
 * there is named, and then the layout can't run: `streams[0].steps[1]`.
 */
export function pipelinesOf(
  layout: Pick<ConfigLayout, 'streams'>,
  config: MillraceConfig,
): { pipelines: StreamPipeline[]; missing: string[] } {
  const functions = new ConfigFunctions(config)
  const missing: string[] = []
  const pipelines = layout.streams.map((stream, index): StreamPipeline => {
    const find = <T>(place: string, code: string): T => {
      const found = functions.find(`${stream.name}.${place}`, code)
      if (found === null) missing.push(`streams[${index}].${place}`)
      return found as T
    }
    return {
      codec: stream.codec,
      selection: stream.selection,
      units: {},
      isRaw: stream.isRaw,
      rawRetentionMs: null,
      steps: stream.steps.map(
        ({ code, ...rest }, at) => ({ ...rest, fn: find(`steps[${at}]`, code) }) as Step,
      ),
      branches: stream.branches.map(({ selection, filter }, at) => ({
        selection,
        filter: filter === null ? null : find(`branches[${at}].filter`, filter),
      })),
      operators: stream.operators.map((operator) => ({ ...operator, retentionMs: null })),
      downsamplers: (stream.downsamplers ?? []).map((downsampler) => ({ ...downsampler, retentionMs: null })),
      detectors: stream.detectors ?? [],
    }
  })
  return { pipelines, missing }
}

type AnyFunction = (...args: never[]) => unknown

/** The functions of a config by their source. Of several with one source, the place decides: they may close over other things. */
class ConfigFunctions {
  #byPlace = new Map<string, AnyFunction>()
  #byCode = new Map<string, Set<AnyFunction>>()

  constructor(config: MillraceConfig) {
    for (const [index, { steps, branches }] of config.pipelines.entries()) {
      const { name } = config.streams[index]
      for (const [at, { fn }] of steps.entries()) this.#add(`${name}.steps[${at}]`, fn)
      for (const [at, { filter }] of branches.entries())
        if (filter !== null) this.#add(`${name}.branches[${at}].filter`, filter)
    }
  }

  find(place: string, code: string): AnyFunction | null {
    const here = this.#byPlace.get(place)
    if (here !== undefined && fingerprint(here) === code) return here
    const [only, another] = this.#byCode.get(code) ?? []
    return another === undefined ? (only ?? null) : null
  }

  #add(place: string, fn: AnyFunction): void {
    this.#byPlace.set(place, fn)
    const code = fingerprint(fn)
    const same = this.#byCode.get(code)
    if (same === undefined) this.#byCode.set(code, new Set([fn]))
    else same.add(fn)
  }
}
