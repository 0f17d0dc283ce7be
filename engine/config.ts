/**
 * What an engine is told to do: the streams it takes, what becomes of their readings, and its bounds. A `millrace.config.ts`
 * default-exports `defineConfig({...})`; what it leaves out is the default here. The functions below only note what was
 * asked for: it is checked once, at start, by config-check.ts, which knows the path of a faulty key.
 */
import type { DetectorKind, DetectorSpec } from '../operators/detect/detector-spec.ts'
import type { CompressionSpec, PointSpec, WindowPointSpec } from '../operators/downsample/point-spec.ts'
import type { Aggregate, CalendarUnit, WindowSpec } from '../operators/window-spec.ts'

/** A number and a unit: `500ms`, `10s`, `1m`, `2h`, `7d`, `4w`, `2y` (years of 365 days). */
export type Duration = `${number}${'ms' | 's' | 'm' | 'h' | 'd' | 'w' | 'y'}`

/**
 * A reading, as filters and maps see it. One object serves all readings: it is good for the call that it is handed to and
 * must not be kept. Texts are decoded when asked for.
 */
export interface Reading {
  readonly stream: string
  readonly device: string
  readonly metric: string
  /** NaN for a text reading; booleans are 0 and 1. */
  readonly value: number
  /** Null for a number. */
  readonly text: string | null
  /** Event time, ms since the epoch. */
  readonly timeMs: number
  readonly arrivalMs: number
  /** What the topic has at a named level: with `plants/{plant}/{device}`, level('plant'). */
  level(name: string): string
}

/** The readings of one message that have the same time, as `derive` sees them. One object serves all, as above. */
export interface ReadingGroup {
  readonly stream: string
  readonly device: string
  readonly timeMs: number
  readonly arrivalMs: number
  level(name: string): string
  /** NaN when the metric is not among them, or is a text. */
  value(metric: string): number
  /** Null when the metric is not among them, or is a number. */
  text(metric: string): string | null
  has(metric: string): boolean
}

export type ReadingTest = (reading: Reading) => boolean
export type ReadingMap = (reading: Reading) => number | string
export type GroupFunction = (group: ReadingGroup) => number

export type Step =
  | { kind: 'filter'; fn: ReadingTest }
  | { kind: 'map'; metric: string; fn: ReadingMap }
  | { kind: 'derive'; name: string; fn: GroupFunction }

/** Keeps the readings for which `fn` is true. The others count as filtered. */
export function filter(fn: ReadingTest): Step {
  return { kind: 'filter', fn }
}

/**
 * Gives readings of a metric (`*` stands for any characters) another value; a string makes a text reading of it. NaN takes the
 * reading out, counted as filtered.
 */
export function map(metric: string, fn: ReadingMap): Step {
  return { kind: 'map', metric, fn }
}

/**
 * Adds a reading to those of a message that have the same time: `derive('power', (m) => m.value('voltage') *
 * m.value('current'))`. NaN adds none.
 */
export function derive(name: string, fn: GroupFunction): Step {
  return { kind: 'derive', name, fn }
}

export interface OperatorOptions {
  /** Count, sum, min, max, mean, first and last when left out. */
  aggregates?: Aggregate[]
  /** How long rows are kept; for ever when left out. */
  retention?: Duration
}

export interface AlignedOptions extends OperatorOptions {
  /** Open windows show what they have so far, this often. */
  early?: Duration
}

export type Operator =
  | { kind: 'tumbling'; width: Duration; options: AlignedOptions }
  | { kind: 'hopping'; width: Duration; hop: Duration; options: AlignedOptions }
  | { kind: 'calendar'; unit: CalendarUnit; timeZone: string; options: AlignedOptions }
  | { kind: 'session'; gap: Duration; options: OperatorOptions }
  | { kind: 'count'; size: number; options: OperatorOptions }
  | { kind: 'sliding'; width: Duration; options: OperatorOptions }
  | { kind: 'tiers'; tiers: Tier[] }
  | { kind: 'downsample'; method: WindowPointMethod; width: Duration; options: DownsampleOptions }
  | { kind: 'compress'; method: CompressionMethod; options: CompressOptions }
  | { kind: 'detect'; detector: DetectorName; options: DetectorOptions }

/** Windows of one width, one after another from the epoch on. */
export function tumbling(width: Duration, options: AlignedOptions = {}): Operator {
  return { kind: 'tumbling', width, options }
}

/** Windows of one width, one beginning at every hop: `hopping('10m', '10s')`. */
export function hopping(width: Duration, hop: Duration, options: AlignedOptions = {}): Operator {
  return { kind: 'hopping', width, hop, options }
}

/** Days, weeks from Monday, or months of a time zone: `calendar('day', 'Europe/Berlin')`. */
export function calendar(unit: CalendarUnit, timeZone: string, options: AlignedOptions = {}): Operator {
  return { kind: 'calendar', unit, timeZone, options }
}

/** Readings of a series that are at most `gap` apart. */
export function session(gap: Duration, options: OperatorOptions = {}): Operator {
  return { kind: 'session', gap, options }
}

/** Every `size` readings of a series. */
export function count(size: number, options: OperatorOptions = {}): Operator {
  return { kind: 'count', size, options }
}

/** At each reading, what came in `width` up to it. */
export function sliding(width: Duration, options: OperatorOptions = {}): Operator {
  return { kind: 'sliding', width, options }
}

export type Tier = Duration | `${Duration} for ${Duration}` | `raw for ${Duration}`

/**
 * Rollups by one line: `tiers('raw for 30d', '10s for 90d', '1m for 2y', '1h')`. Each width is a multiple of the one before
 * it and computed from that; `for` is how long its rows are kept. `raw` are the readings themselves.
 */
export function tiers(...tiers: Tier[]): Operator {
  return { kind: 'tiers', tiers }
}

export type WindowPointMethod = WindowPointSpec['method']
export type CompressionMethod = CompressionSpec['method']

export interface PointOptions {
  /** All of the branch's when left out; `*` stands for any characters. */
  metrics?: string[]
  /** How long points are kept; for ever when left out. */
  retention?: Duration
}

export interface DownsampleOptions extends PointOptions {
  /** Of a window, at most: 3 to 10,000. */
  points?: number
}

/**
 * Of each window of a series some points that show its shape, in the table `points`: `downsample('m4', '1m')` keeps the first, the
 * last, the smallest and the greatest reading, `min-max` the latter two, `mean` one point at the window's start;
 * `downsample('lttb', '1h', { points: 120 })` what the eye would miss, and `minmax-lttb` nearly the same in bounded memory.
 */
export function downsample(
  method: 'mean' | 'min-max' | 'm4',
  width: Duration,
  options?: PointOptions,
): Operator
export function downsample(
  method: 'lttb' | 'minmax-lttb',
  width: Duration,
  options: DownsampleOptions & { points: number },
): Operator
export function downsample(
  method: WindowPointMethod,
  width: Duration,
  options: DownsampleOptions = {},
): Operator {
  return { kind: 'downsample', method, width, options }
}

/** How strong, by one or the other. */
export type CompressOptions = PointOptions & {
  /** A reading is kept at least this often, as far as there are any; an hour when left out. */
  longest?: Duration
} & (
    | {
        /** No dropped reading lies further from the kept line than this. */
        deviation: number
        pointsPerHour?: undefined
      }
    | {
        /** Of a series and an hour of event time, at most: the deviation follows, and stands beside each point. */
        pointsPerHour: number
        deviation?: undefined
      }
  )

/**
 * Drops readings that a line through the kept ones tells well enough: `compress('swinging-door', { deviation: 0.1 })` with straight
 * lines, `compress('deadband', ...)` with steps. What comes late is kept beside the line.
 */
export function compress(method: CompressionMethod, options: CompressOptions): Operator {
  return { kind: 'compress', method, options }
}

export type DetectorName = DetectorKind['kind']

export interface DetectorOptions {
  /** Goes into the column `detector`; the detector's own name when left out. */
  name?: string
  /** All of the branch's when left out; `*` stands for any characters. For 'multivariate' the names of 2 to 16 metrics. */
  metrics?: string[]
  /** An episode ends when nothing of note came for this long; not for 'missing', which the next reading ends. */
  quiet?: Duration
  /** No new episode of a series for this long after one, unless it is more severe. */
  coolDown?: Duration
}

export interface LimitsOptions extends DetectorOptions {
  low?: number
  high?: number
  /** How far back inside the limits a value must be to be well again; 0 when left out. */
  hysteresis?: number
}

export interface MissingOptions extends DetectorOptions {
  /** A reading is overdue after this many usual intervals of its series; 2.5 when left out. */
  intervals?: number
  /** Nothing is overdue earlier than this. */
  silence?: Duration
}

export interface MultivariateOptions extends DetectorOptions {
  metrics: string[]
  /** Normal deviations at which readings are beyond their limit; 6 when left out. */
  limit?: number
}

/**
 * Tells what is unusual, as episodes in the table `anomalies`: `detect('adaptive')` needs no settings; `detect('limits', { low: 0,
 * high: 80, hysteresis: 1 })`; `detect('missing')` for series that fall silent; `detect('multivariate', { metrics: [...] })`.
 */
export function detect(
  detector: 'adaptive' | 'hampel' | 'ewma' | 'page-hinkley' | 'seasonal' | 'rate' | 'flatline',
  options?: DetectorOptions,
): Operator
export function detect(detector: 'limits', options: LimitsOptions): Operator
export function detect(detector: 'missing', options?: MissingOptions): Operator
export function detect(detector: 'multivariate', options: MultivariateOptions): Operator
export function detect(detector: DetectorName, options: DetectorOptions = {}): Operator {
  return { kind: 'detect', detector, options }
}

/** Names of metrics; `*` stands for any characters. */
export interface MetricSelection {
  /** All when left out. */
  include?: string[]
  exclude?: string[]
}

/** A part of a stream's readings, and the operators over it. */
export interface BranchOptions {
  metrics?: MetricSelection
  filter?: ReadingTest
  operators: Operator[]
}

export type Codec = 'auto' | 'json' | 'msgpack'

export interface StreamOptions {
  /** Goes into the column `stream`. */
  name: string
  /**
   * A topic with one level `{device}`, other named levels, and `+` for levels that do not matter:
   * `plants/{plant}/{device}/+/data`. A level `{metric}` names the metric of a payload that is a bare number, boolean or text,
   * and stands, with a dot, before the metrics of an object.
   */
  topic: string
  /** `auto` tells JSON from MessagePack by the first byte. */
  codec?: Codec
  /** Which of the payloads' metrics are taken, before any step; and the units that analysts find in the view `metrics`. */
  metrics?: MetricSelection & { units?: Record<string, string> }
  /** False keeps no rows in `samples`. */
  raw?: false | { retention?: Duration }
  /** In order, over each message. */
  steps?: Step[]
  /** Short for one branch that takes every reading; `windows.widths` when there are no branches either. */
  operators?: Operator[]
  branches?: BranchOptions[]
}

/** What doors and journals need of a stream. */
export interface StreamConfig {
  name: string
  topic: string
}

export interface WindowConfig {
  /** The tumbling windows of streams that name no operators. Ascending. */
  widths: string[]
  /** How far behind its newest reading a series may still deliver, ms. */
  latenessMs: number
  /** A series without a reading for this long has its windows closed, ms. */
  idleTimeoutMs: number
  /** A reading this far ahead of its arrival goes to `dead_letters`, ms. */
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
  /** Unacknowledged messages of QoS 1 and 2 per connection. */
  receiveMaximum: number
  /** Messages queued for a subscriber that reads slowly; more are dropped and counted. */
  subscriberQueueCountMax: number
  /** Bytes queued for a subscriber. */
  subscriberQueueSizeBytesMax: number
  /** Sessions that are kept, or have a will; clients that would need another one are refused. */
  sessionsMax: number
  /** Messages of QoS 1 and 2 that wait for one session; the newest are dropped and counted. */
  sessionQueueCountMax: number
  /** Their bytes. */
  sessionQueueSizeBytesMax: number
  /** Bytes that wait for all sessions together; a message counts once. */
  queuedSizeBytesMax: number
  /** Retained messages, and their bytes; one that finds no room is delivered, not retained, and counted. */
  retainedCountMax: number
  retainedSizeBytesMax: number
  /** From accept to a complete CONNECT, the TLS handshake included, ms. */
  connectTimeoutMs: number
  /** The longest keep-alive that a client of MQTT 5 may have, s; 0: whatever it asks for, also none. */
  keepAliveMaxS: number
  /** Connections of all doors and gateways. */
  connectionsMax: number
  /** Connections from one address (of IPv6: one network of 64 bits); 0 for no limit. */
  connectionsPerAddressMax: number
  /** Connects a second that a gateway thread takes in; more have to wait; 0 for no limit. */
  connectsPerSMax: number
  /** Messages a second of one connection; more are read later, none is refused; 0 for no limit. */
  deviceMessagesPerSMax: number
  /** Bytes a second of one connection, the same way. */
  deviceBytesPerSMax: number
  /** Levels of a topic or a filter. */
  topicLevelsMax: number
  /** Bytes of a connection that wait, received or to be sent, beyond one largest packet. */
  bufferedSizeBytesMax: number
  /** Records between a gateway and a shard, bytes; a power of two. */
  ringSizeBytes: number
  /** Metrics of one device; messages with more go to `dead_letters`. */
  metricsPerDeviceMax: number
  /** Series that one detector learns, per shard; others are not judged, and counted. */
  detectedSeriesMax: number
}

/**
 * Topic filters that a role may use: `devices/{device}/#`. A placeholder fills a level: `{device}` is the device's own name,
 * `{client}` its client identifier, `{group}` any of its groups, `{member}` any device in one of its groups.
 */
export interface RoleOptions {
  publish?: string[]
  subscribe?: string[]
}

export interface JwtOptions {
  /** A JWKS file (RFC 7517), beside the config; each key says its `alg`: RS256, ES256, EdDSA or HS256. */
  keys: string
  /** What `iss` and `aud` of a token must be; not looked at when left out. */
  issuer?: string
  audience?: string
  /** The claim that names the device; `sub` when left out. */
  claim?: string
}

export interface AccessOptions {
  /**
   * By name. Those of the roles `device`, `gateway` and `anonymous` take the place of their defaults; a device has the role it
   * was registered with.
   */
  roles?: Record<string, RoleOptions>
  jwt?: JwtOptions
}

export interface MillraceOptions {
  access?: AccessOptions
  streams?: StreamOptions[]
  windows?: Partial<WindowConfig>
  batch?: Partial<BatchConfig>
  limits?: Partial<LimitsConfig>
}

/** For `export default defineConfig({...})`: gives editors the shape. */
export function defineConfig(config: MillraceOptions): MillraceOptions {
  return config
}

/** Of some metrics, those that the readings must have; null for any. */
export interface Selection {
  include: string[] | null
  exclude: string[]
}

export interface Branch {
  selection: Selection
  filter: ReadingTest | null
}

/** One operator over a stream; branches that ask for windows with the same label share it. */
export interface StreamOperator {
  label: string
  spec: WindowSpec
  /** Which of the stream's branches feed it: it takes a reading that any of them takes. */
  branches: number[]
  /** Null: rows are kept for ever. */
  retentionMs: number | null
}

/** One downsampler over a stream; branches that ask for the same one share it. */
export interface StreamDownsampler {
  label: string
  spec: PointSpec
  /** Of what the branches take; null for all. */
  metrics: string[] | null
  /** Which of the stream's branches feed it. */
  branches: number[]
  /** Null: points are kept for ever. */
  retentionMs: number | null
}

/** One detector over a stream; branches that ask for the same one share it. */
export interface StreamDetector {
  label: string
  spec: DetectorSpec
  /** Which of the stream's branches feed it. */
  branches: number[]
}

/** What becomes of a stream's readings, checked. */
export interface StreamPipeline {
  codec: Codec
  selection: Selection
  units: Record<string, string>
  isRaw: boolean
  rawRetentionMs: number | null
  steps: Step[]
  branches: Branch[]
  operators: StreamOperator[]
  downsamplers: StreamDownsampler[]
  detectors: StreamDetector[]
}

export interface RoleConfig {
  publish: string[]
  subscribe: string[]
}

export interface JwtConfig {
  keys: string
  issuer: string | null
  audience: string | null
  claim: string
}

/** Who may what, checked. */
export interface AccessConfig {
  roles: Record<string, RoleConfig>
  jwt: JwtConfig | null
}

/** A whole config, checked. Functions are in `pipelines` alone: the rest can be sent to threads. */
export interface MillraceConfig {
  streams: StreamConfig[]
  /** By stream. */
  pipelines: StreamPipeline[]
  windows: WindowConfig
  batch: BatchConfig
  limits: LimitsConfig
  access: AccessConfig
}

export const DEFAULT_CONFIG: Omit<MillraceConfig, 'pipelines'> = {
  streams: [{ name: 'telemetry', topic: 'devices/{device}/telemetry' }],
  windows: { widths: ['10s', '1m'], latenessMs: 10_000, idleTimeoutMs: 30_000, aheadGuardMs: 300_000 },
  batch: { rowsMax: 500_000, sizeBytesMax: 32 << 20, ageMsMax: 1000 },
  limits: {
    packetSizeBytesMax: 1 << 20,
    receiveMaximum: 1024,
    subscriberQueueCountMax: 1000,
    subscriberQueueSizeBytesMax: 4 << 20,
    sessionsMax: 200_000,
    sessionQueueCountMax: 10_000,
    sessionQueueSizeBytesMax: 16 << 20,
    queuedSizeBytesMax: 256 << 20,
    retainedCountMax: 100_000,
    retainedSizeBytesMax: 64 << 20,
    connectTimeoutMs: 10_000,
    keepAliveMaxS: 0,
    connectionsMax: 20_000,
    connectionsPerAddressMax: 0,
    connectsPerSMax: 0,
    deviceMessagesPerSMax: 0,
    deviceBytesPerSMax: 0,
    topicLevelsMax: 128,
    bufferedSizeBytesMax: 256 << 10,
    ringSizeBytes: 16 << 20,
    metricsPerDeviceMax: 1000,
    detectedSeriesMax: 20_000,
  },
  access: {
    roles: {
      device: { publish: ['devices/{device}/#'], subscribe: ['devices/{device}/#'] },
      gateway: {
        publish: ['devices/{device}/#', 'devices/{member}/#'],
        subscribe: ['devices/{device}/#', 'devices/{member}/#'],
      },
      anonymous: { publish: ['#'], subscribe: ['#', '$SYS/#'] },
    },
    jwt: null,
  },
}
