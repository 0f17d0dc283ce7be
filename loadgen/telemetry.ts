/**
 * What the simulated devices say: every reading is a pure function of the plan, the device and its message
 * number, so that verification computes what it expects and remembers no payload. Shared by publishers and
 * verification.
 *
 * Messages of a connection are numbered 0, 1, 2 ... in the order they are sent, and go to its devices in
 * turn. A connection's message number therefore names the device and that device's own message number
 * (`seq`), and the other way round.
 */

/**
 * The `seq` metric counts from here, so that it always has ten digits and fits an unsigned 32-bit integer.
 */
export const SEQ_BASE = 1_000_000_000
export const SEQ_COUNT_MAX = 3_000_000_000

/**
 * Values have five digits, two before the point: as text always six bytes, and n / 1000 is the double the
 * text means.
 */
const THOUSANDTHS_MIN = 10_000
const THOUSANDTHS_COUNT = 90_000

/** One run's fleet. Device d belongs to connection d mod connections. */
export interface TelemetryPlan {
  /** Device names are the prefix and `deviceDigits` digits. */
  prefix: string
  deviceDigits: number
  devices: number
  connections: number
  /** Metrics in each message: `seq`, then `m1`, `m2` ... */
  metrics: number
  seed: number
  /** Event time of each device's message 0, and the step to the next one; whole ms. */
  baseMs: number
  stepMs: number
}

export function deviceName(plan: TelemetryPlan, device: number): string {
  return plan.prefix + String(device).padStart(plan.deviceDigits, '0')
}

export function metricName(metric: number): string {
  return metric === 0 ? 'seq' : `m${metric}`
}

/** Event time of a device's message, ms. */
export function telemetryTsMs(plan: TelemetryPlan, seq: number): number {
  return plan.baseMs + seq * plan.stepMs
}

/** The value of metric 1, 2 ... in thousandths: 10000 .. 99999. */
// hot: per message
export function valueThousandths(seed: number, device: number, seq: number, metric: number): number {
  let hash = Math.imul(device ^ seed, 0x9e3779b1) ^ Math.imul(seq, 0x85ebca77) ^ Math.imul(metric, 0xc2b2ae3d)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39)
  return THOUSANDTHS_MIN + (((hash ^ (hash >>> 15)) >>> 1) % THOUSANDTHS_COUNT)
}

/** The value that the store must hold, bit for bit. */
export function telemetryValue(plan: TelemetryPlan, device: number, seq: number, metric: number): number {
  if (metric === 0) return SEQ_BASE + seq
  return valueThousandths(plan.seed, device, seq, metric) / 1000
}

/** How many devices a connection has. */
export function devicesOfConnection(plan: TelemetryPlan, connection: number): number {
  return Math.ceil((plan.devices - connection) / plan.connections)
}

/** How many messages a device has sent when its connection has sent `sent`. */
export function messagesOfDevice(plan: TelemetryPlan, device: number, sent: number): number {
  const connection = device % plan.connections
  const turn = (device - connection) / plan.connections
  return Math.max(0, Math.ceil((sent - turn) / devicesOfConnection(plan, connection)))
}
