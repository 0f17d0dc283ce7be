/** A stream of a shard's pipeline, by its number in the journal's records. */
import type { StreamConfig, StreamPipeline } from '../config.ts'

export interface PipelineStream {
  stream: StreamConfig
  pipeline: StreamPipeline
}
