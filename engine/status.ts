/** The engine's figures: what its threads report once a second, added up. Owned by the main thread. */
import { decodeFromCompressedBase64, type Histogram } from 'hdr-histogram-js'
import type { GatewayStatus } from './gateway/gateway-counters.ts'
import type { SessionsStatus } from './sessions/sessions-thread.ts'
import type { ShardStatus } from './shard/shard-thread.ts'

export interface EngineStatus {
  uptimeMs: number
  gateways: GatewayStatus[]
  shards: ShardStatus[]
  connections: number
  messages: number
  readings: number
  rowsStored: number
  deadLetters: number
  acknowledged: number
  pubackP99Us: number
  backlogSizeBytes: number
  journalSizeBytes: number
  isJournalFull: boolean
  /** Null before the first report. */
  sessions: SessionsStatus | null
}

export class StatusBoard {
  readonly gateways: GatewayStatus[] = []
  readonly shards: ShardStatus[] = []
  sessions: SessionsStatus | null = null
  /** CPU time of each worker thread since its start, seconds, by its name. */
  readonly threadCpuSeconds = new Map<string, number>()
  #startedMs = performance.now()

  summary(): EngineStatus {
    const { gateways, shards } = this
    return {
      uptimeMs: Math.round(performance.now() - this.#startedMs),
      gateways: gateways.filter(Boolean),
      shards: shards.filter(Boolean),
      connections: total(gateways, (gateway) => gateway.connections),
      messages: total(gateways, ({ messagesReceived: [qos0, qos1, qos2] }) => qos0 + qos1 + qos2),
      acknowledged: total(gateways, (gateway) => gateway.acknowledged),
      pubackP99Us: Math.max(0, ...gateways.filter(Boolean).map((gateway) => gateway.pubackLatencyUs.p99)),
      readings: total(shards, (shard) => shard.readings),
      rowsStored: total(shards, (shard) => shard.rowsStored),
      deadLetters: total(shards, (shard) => shard.deadLetters),
      backlogSizeBytes: total(shards, (shard) => shard.backlogSizeBytes),
      journalSizeBytes: total(shards, (shard) => shard.journalSizeBytes),
      isJournalFull: shards.some((shard) => shard?.isJournalFull),
      sessions: this.sessions,
    }
  }

  /** PUBACK latencies of all gateways since the start; null before the first report. */
  latencies(): Histogram | null {
    const [first, ...rest] = this.gateways
      .filter(Boolean)
      .map((gateway) => decodeFromCompressedBase64(gateway.pubackLatencyUsTotal.histogram, 64, false))
    for (const histogram of rest) first.add(histogram)
    return first ?? null
  }
}

/** The sum over all entries that have come; a list may still have holes. */
function total<T>(entries: readonly T[], figure: (entry: T) => number): number {
  return entries.reduce((sum, entry) => sum + figure(entry), 0)
}
