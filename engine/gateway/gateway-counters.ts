/**
 * What a gateway counts, and how long its acknowledgements took. Owner: the gateway's thread; `status` leaves
 * it as plain data.
 */
import { build, encodeIntoCompressedBase64, type Histogram } from 'hdr-histogram-js'
import type { LatencySink } from './ack-queue.ts'
import type { CloseReason } from './close-reason.ts'
import { DeliveryOutcome } from './delivery.ts'

const LATENCY_US_MAX = 60_000_000

export interface LatencySummary {
  count: number
  p50: number
  p99: number
  p999: number
  max: number
}

/** Plain numbers; all but those marked "now" only ever grow. */
export interface GatewayStatus {
  index: number
  /** Now. */
  connections: number
  connectsAccepted: number
  connectsRefused: number
  connectsRefusedByReason: Record<string, number>
  publishesRefusedByReason: Record<string, number>
  subscriptionsRefusedByReason: Record<string, number>
  /** By QoS. */
  messagesReceived: [number, number, number]
  bytesReceived: number
  /** Of MQTT, by the bytes written. */
  bytesSent: number
  recordsWritten: number
  /** Messages of QoS 1 and 2 whose PUBACK or PUBREC has left. */
  acknowledged: number
  /** Messages of topics that no stream takes. */
  unmatched: number
  delivered: number
  /** Messages that a subscriber did not get, by why. */
  deliveryDropped: { full: number; tooLarge: number; expired: number }
  disconnectsByReason: Record<string, number>
  /** Connects that had to wait, because more came in a second than are taken in. */
  connectsQueued: number
  /** How often a connection's reading was slowed, because its device sent more than its budget. */
  readsSlowed: number
  /** Now: connections that are not read: a ring is full, too much is unacknowledged, or they were slowed. */
  pausedConnections: number
  /** From a message's socket read to its PUBACK's or PUBREC's write, microseconds: the last whole second. */
  pubackLatencyUs: LatencySummary
  /**
   * Since the start: a summary, and the HdrHistogram (V2, compressed, base64) for those who add several up.
   */
  pubackLatencyUsTotal: LatencySummary & { histogram: string }
}

/** How often, and why: reasons are few and known. */
class ReasonCounts {
  total = 0
  #counts = new Map<string, number>()

  add(reason: string): void {
    this.total++
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1)
  }

  get byReason(): Record<string, number> {
    return Object.fromEntries(this.#counts)
  }
}

export class GatewayCounters implements LatencySink {
  connections = 0
  connectsAccepted = 0
  readonly connectsRefused = new ReasonCounts()
  readonly publishesRefused = new ReasonCounts()
  readonly subscriptionsRefused = new ReasonCounts()
  messagesQos0 = 0
  messagesQos1 = 0
  messagesQos2 = 0
  bytesReceived = 0
  bytesSent = 0
  recordsWritten = 0
  acknowledged = 0
  unmatched = 0
  delivered = 0
  deliveryDropped = { full: 0, tooLarge: 0, expired: 0 }
  connectsQueued = 0
  readsSlowed = 0
  pausedConnections = 0
  /** The time of the present step, microseconds, modulo 2^32. */
  nowUs = 0
  #disconnects = new ReasonCounts()
  #present = latencyHistogram()
  #total = latencyHistogram()
  #lastSecond: LatencySummary = summarize(this.#present)

  /** Messages of all kinds. */
  get messages(): number {
    return this.messagesQos0 + this.messagesQos1 + this.messagesQos2
  }

  disconnected(reason: CloseReason): void {
    this.#disconnects.add(reason.name)
  }

  undelivered(outcome: DeliveryOutcome): void {
    if (outcome === DeliveryOutcome.TOO_LARGE) this.deliveryDropped.tooLarge++
    else this.deliveryDropped.full++
  }

  // hot: per batch
  record(arrivalUs: number, count: number): void {
    this.acknowledged += count
    this.#present.recordValueWithCount(Math.min((this.nowUs - arrivalUs) >>> 0, LATENCY_US_MAX), count)
  }

  /** Once a second. */
  turnSecond(): void {
    this.#lastSecond = summarize(this.#present)
    this.#total.add(this.#present)
    this.#present.reset()
  }

  status(index: number): GatewayStatus {
    const total = latencyHistogram()
    total.add(this.#total)
    total.add(this.#present)
    return {
      index,
      connections: this.connections,
      connectsAccepted: this.connectsAccepted,
      connectsRefused: this.connectsRefused.total,
      connectsRefusedByReason: this.connectsRefused.byReason,
      publishesRefusedByReason: this.publishesRefused.byReason,
      subscriptionsRefusedByReason: this.subscriptionsRefused.byReason,
      messagesReceived: [this.messagesQos0, this.messagesQos1, this.messagesQos2],
      bytesReceived: this.bytesReceived,
      bytesSent: this.bytesSent,
      recordsWritten: this.recordsWritten,
      acknowledged: this.acknowledged,
      unmatched: this.unmatched,
      delivered: this.delivered,
      deliveryDropped: { ...this.deliveryDropped },
      disconnectsByReason: this.#disconnects.byReason,
      connectsQueued: this.connectsQueued,
      readsSlowed: this.readsSlowed,
      pausedConnections: this.pausedConnections,
      pubackLatencyUs: this.#lastSecond,
      pubackLatencyUsTotal: {
        ...summarize(total),
        histogram: encodeIntoCompressedBase64(total),
      },
    }
  }
}

function latencyHistogram(): Histogram {
  return build({
    bitBucketSize: 64,
    lowestDiscernibleValue: 1,
    highestTrackableValue: LATENCY_US_MAX,
    numberOfSignificantValueDigits: 2,
    autoResize: false,
    useWebAssembly: false,
  })
}

function summarize(histogram: Histogram): LatencySummary {
  return {
    count: histogram.totalCount,
    p50: histogram.getValueAtPercentile(50),
    p99: histogram.getValueAtPercentile(99),
    p999: histogram.getValueAtPercentile(99.9),
    max: histogram.maxValue,
  }
}
