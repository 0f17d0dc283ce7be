/**
 * Compares stored rows with what the fleet must have sent: each row's time and value with the generator's,
 * each row's number of copies with how often it may be stored. Remembers a bit per reading and the
 * exceptions. One owner.
 *
 * What a server owes: a message that was acknowledged is stored exactly once. One that was sent and not
 * acknowledged may be stored or not. One that was published anew after a lost session may be stored once more
 * for each time; a redelivery within a session or on the plain WebSocket door may not.
 */
import type { ConnectionOutcome } from './fleet-options.ts'
import {
  deviceName,
  devicesOfConnection,
  metricName,
  type TelemetryPlan,
  telemetryTsMs,
  telemetryValue,
} from './telemetry.ts'

export interface RowFindings {
  /** Readings sent, and those of them that the server acknowledged. */
  sent: number
  acknowledged: number
  /** Rows seen, copies included. */
  stored: number
  /** Acknowledged and not stored. */
  missing: number
  /** Copies beyond those allowed, and those allowed because a message was published anew. */
  duplicated: number
  republishedCopies: number
  /** Rows of a reading that was sent, with another value. */
  wrong: number
  /** Rows that no message of this run explains. */
  foreign: number
  /** Stored although no acknowledgement was received: allowed. */
  storedUnacknowledged: number
  /** Some of the faults, worded. */
  examples: string[]
}

const EXAMPLES_MAX = 10

export class RowCheck {
  readonly #plan: TelemetryPlan
  readonly #outcomes: ConnectionOutcome[] = []
  /** First reading of each connection; a reading's index is base + message * metrics + metric. */
  readonly #bases: Float64Array
  readonly #isStored: Uint8Array
  readonly #copies = new Map<number, number>()
  readonly #findings: RowFindings

  constructor(plan: TelemetryPlan, outcomes: ConnectionOutcome[]) {
    this.#plan = plan
    for (const outcome of outcomes) this.#outcomes[outcome.connection] = outcome
    this.#bases = new Float64Array(plan.connections)
    let readings = 0
    for (let connection = 0; connection < plan.connections; connection++) {
      this.#bases[connection] = readings
      readings += this.#outcomes[connection].sent * plan.metrics
    }
    this.#isStored = new Uint8Array(Math.ceil(readings / 8))
    this.#findings = {
      sent: readings,
      acknowledged: 0,
      stored: 0,
      missing: 0,
      duplicated: 0,
      republishedCopies: 0,
      wrong: 0,
      foreign: 0,
      storedUnacknowledged: 0,
      examples: [],
    }
  }

  /** One row. A device or metric that is none of the fleet's is -1. */
  // hot: per row
  take(device: number, metric: number, tsMs: number, value: number): void {
    const plan = this.#plan
    this.#findings.stored++
    const seq = (tsMs - plan.baseMs) / plan.stepMs
    if (
      device < 0 ||
      device >= plan.devices ||
      metric < 0 ||
      metric >= plan.metrics ||
      !Number.isInteger(seq)
    ) {
      this.#foreign(device, metric, tsMs, value)
      return
    }
    const connection = device % plan.connections
    const turn = (device - connection) / plan.connections
    const message = seq * devicesOfConnection(plan, connection) + turn
    if (seq < 0 || message >= this.#outcomes[connection].sent) {
      this.#foreign(device, metric, tsMs, value)
      return
    }
    if (value !== telemetryValue(plan, device, seq, metric)) {
      this.#findings.wrong++
      this.#example('wrong value', device, metric, tsMs, value)
      return
    }
    const reading = this.#bases[connection] + message * plan.metrics + metric
    const byte = Math.floor(reading / 8)
    const bit = 1 << (reading % 8)
    if (this.#isStored[byte] & bit) this.#copies.set(reading, (this.#copies.get(reading) ?? 0) + 1)
    this.#isStored[byte] |= bit
  }

  /** Rows that were counted elsewhere and belong to nothing that was sent. */
  addForeign(count: number, what: string): void {
    this.#findings.foreign += count
    if (count > 0 && this.#findings.examples.length < EXAMPLES_MAX) this.#findings.examples.push(what)
  }

  /** What all rows together say. Call once, after the last row. */
  finish(): RowFindings {
    for (const outcome of this.#outcomes) this.#finishConnection(outcome)
    return this.#findings
  }

  #finishConnection(outcome: ConnectionOutcome): void {
    const { metrics } = this.#plan
    const refused = new Set(outcome.refused)
    const early = new Set(outcome.acknowledgedEarly)
    const base = this.#bases[outcome.connection]
    for (let message = 0; message < outcome.sent; message++) {
      const isAcknowledged = message < outcome.answered ? !refused.has(message) : early.has(message)
      if (isAcknowledged) this.#findings.acknowledged += metrics
      for (let metric = 0; metric < metrics; metric++) {
        const reading = base + message * metrics + metric
        const isStored = (this.#isStored[Math.floor(reading / 8)] & (1 << (reading % 8))) !== 0
        if (isStored && !isAcknowledged) this.#findings.storedUnacknowledged++
        if (!isStored && isAcknowledged) {
          this.#findings.missing++
          this.#exampleOf('acknowledged, not stored', outcome.connection, message, metric)
        }
        const copies = isStored && this.#copies.size > 0 ? (this.#copies.get(reading) ?? 0) : 0
        if (copies > 0) this.#finishCopies(outcome, message, metric, copies)
      }
    }
  }

  #finishCopies(outcome: ConnectionOutcome, message: number, metric: number, copies: number): void {
    const allowed = outcome.republished.filter(([from, to]) => message >= from && message < to).length
    this.#findings.republishedCopies += Math.min(copies, allowed)
    if (copies <= allowed) return
    this.#findings.duplicated += copies - allowed
    this.#exampleOf(
      `stored ${copies + 1} times, published ${allowed + 1}`,
      outcome.connection,
      message,
      metric,
    )
  }

  #foreign(device: number, metric: number, tsMs: number, value: number): void {
    this.#findings.foreign++
    this.#example('not of this run', device, metric, tsMs, value)
  }

  #exampleOf(what: string, connection: number, message: number, metric: number): void {
    if (this.#findings.examples.length >= EXAMPLES_MAX) return
    const turn = message % devicesOfConnection(this.#plan, connection)
    const seq = (message - turn) / devicesOfConnection(this.#plan, connection)
    const device = turn * this.#plan.connections + connection
    const value = telemetryValue(this.#plan, device, seq, metric)
    this.#example(what, device, metric, telemetryTsMs(this.#plan, seq), value)
  }

  #example(what: string, device: number, metric: number, tsMs: number, value: number): void {
    if (this.#findings.examples.length >= EXAMPLES_MAX) return
    const name = device < 0 ? 'unknown device' : deviceName(this.#plan, device)
    const metricText = metric < 0 ? 'unknown metric' : metricName(metric)
    this.#findings.examples.push(`${what}: ${name} ${metricText} ts=${tsMs} value=${value}`)
  }
}
