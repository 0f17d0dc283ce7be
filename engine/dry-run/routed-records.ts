/**
 * Journalled messages as they would have come under another config: its topics decide stream and device anew. Owned by one job
 * of the dry run.
 */
import { alignRecord, RECORD_HEADER_SIZE_BYTES, RecordViews } from '../../codecs/journal/record.ts'
import type { StreamConfig } from '../config.ts'
import { TopicRoute, TopicRouter } from '../gateway/topic-router.ts'

export class RoutedRecords {
  /** The record that was routed last, at 0. */
  views = new RecordViews(new ArrayBuffer(1 << 16))
  #router: TopicRouter
  #route = new TopicRoute()

  constructor(streams: readonly StreamConfig[]) {
    this.#router = new TopicRouter(streams, 1)
  }

  /** Copies the message record at `offset`, routed; returns its aligned size, or 0 when no stream takes the topic. */
  route(from: RecordViews, offset: number): number {
    const size = from.u32[offset >>> 2]
    const aligned = alignRecord(size)
    const topicStart = offset + RECORD_HEADER_SIZE_BYTES
    const topicEnd = topicStart + from.u16[(offset >>> 1) + 3]
    const route = this.#route
    if (!route.isTopic(from.bytes, topicStart, topicEnd)) {
      route.setTopic(from.bytes, topicStart, topicEnd)
      this.#router.resolve(route)
    }
    if (!route.isMatched) return 0
    if (aligned + 64 > this.views.bytes.length)
      this.views = new RecordViews(new ArrayBuffer((aligned + 64) * 2))
    const { bytes, u16, u32 } = this.views
    bytes.set(from.bytes.subarray(offset, offset + aligned))
    u32[4] = route.deviceHash
    u16[10] = route.deviceStart
    u16[11] = route.deviceSize
    u16[13] = route.stream
    return aligned
  }
}
