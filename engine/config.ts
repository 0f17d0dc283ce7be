/**
 * What an engine is told to do: the streams it takes, and its bounds. A `millrace.config.ts` default-exports
 * `defineConfig({...})`; what it leaves out is the default here. Checked once, at start, by config-check.ts.
 */

export interface StreamConfig {
  /** Goes into the column `stream`. */
  name: string
  /** A topic with one level `{device}`, and `+` for levels that do not matter: `plants/+/{device}/data`. */
  topic: string
}

export interface WindowConfig {
  /** Widths as they stand in the column `window`: a number and `s`, `m` or `h`. Ascending. */
  widths: string[]
  /** How far behind its newest reading a series may still deliver, ms. */
  latenessMs: number
  /** A series without a reading for this long has its windows closed, ms. */
  idleTimeoutMs: number
  /** A reading this far ahead of its arrival moves no watermark, ms. */
  aheadGuardMs: number
}

export interface BatchConfig {
  rowsMax: number
  sizeBytesMax: number
  ageMsMax: number
}

export interface LimitsConfig {
  /** A whole MQTT packet or WebSocket message, bytes. */
  packetSizeBytesMax: number
  /** Unacknowledged QoS 1 messages per connection. */
  receiveMaximum: number
  /** Messages queued for a subscriber that reads slowly; more are dropped and counted. */
  subscriberQueueCountMax: number
  /** Bytes queued for a subscriber. */
  subscriberQueueSizeBytesMax: number
  /** From accept to a complete CONNECT, ms. */
  connectTimeoutMs: number
  /** Connections per gateway thread. */
  connectionsMax: number
  /** Records between a gateway and a shard, bytes; a power of two. */
  ringSizeBytes: number
}

export interface MillraceConfig {
  streams: StreamConfig[]
  windows: WindowConfig
  batch: BatchConfig
  limits: LimitsConfig
}

export const DEFAULT_CONFIG: MillraceConfig = {
  streams: [{ name: 'telemetry', topic: 'devices/{device}/telemetry' }],
  windows: { widths: ['10s', '1m'], latenessMs: 10_000, idleTimeoutMs: 30_000, aheadGuardMs: 300_000 },
  batch: { rowsMax: 500_000, sizeBytesMax: 32 << 20, ageMsMax: 1000 },
  limits: {
    packetSizeBytesMax: 1 << 20,
    receiveMaximum: 1024,
    subscriberQueueCountMax: 1000,
    subscriberQueueSizeBytesMax: 4 << 20,
    connectTimeoutMs: 10_000,
    connectionsMax: 20_000,
    ringSizeBytes: 16 << 20,
  },
}

type DeepPartial<T> = {
  [K in keyof T]?: T[K] extends unknown[] ? T[K] : T[K] extends object ? DeepPartial<T[K]> : T[K]
}

/** For `export default defineConfig({...})`: gives editors the shape. */
export function defineConfig(config: DeepPartial<MillraceConfig>): DeepPartial<MillraceConfig> {
  return config
}
