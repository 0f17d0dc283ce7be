/**
 * What becomes of the readings of a shard's streams: the layout that the journal is written under says what, and the config
 * file, which each thread reads itself, has the functions for it. Runs once, at start.
 */
import { loadConfig } from '../config-file.ts'
import { type ConfigLayout, pipelinesOf } from '../config-layout.ts'
import { EngineError } from '../engine-error.ts'
import type { PipelineStream } from './pipeline-stream.ts'

/** Throws EngineError when the file has not got a function that the layout names, and ConfigError. */
export async function loadStreams(
  layout: Pick<ConfigLayout, 'streams'>,
  configFile: string | null,
): Promise<PipelineStream[]> {
  const config = await loadConfig(configFile)
  const { pipelines, missing } = pipelinesOf(layout, config)
  if (missing.length > 0) {
    const what = `config ${configFile ?? 'of defaults'} has no function for ${missing.join(', ')} any more`
    throw new EngineError('CONFIG', `${what}: start with the config as it was`)
  }
  return layout.streams.map((stream, index) => {
    const now = config.streams.findIndex(({ name }) => name === stream.name)
    const rawRetentionMs = now < 0 ? null : config.pipelines[now].rawRetentionMs // no part of the layout
    return { stream, pipeline: { ...pipelines[index], rawRetentionMs } }
  })
}
