/** What a thread's share of a load run needs to know. Plain data: it is sent to worker threads as it is. */
import type { PublishFormat } from './publish-template.ts'
import type { TelemetryPlan } from './telemetry.ts'
import type { Address } from './transport.ts'

export interface FleetOptions {
  address: Address
  plan: TelemetryPlan
  format: PublishFormat
  /** Messages in flight per connection: QoS 1 and the plain WebSocket door. */
  window: number
  /** Messages gathered into one write. */
  perWrite: number
  /** Messages a second of this thread; 0 is flat out. */
  rate: number
  /** Messages of the whole run; 0 when the duration ends it. */
  messages: number
  /** Length of the run in ms; 0 when the number of messages ends it. */
  durationMs: number
  /** How long to wait for what is in flight at the end, and for a connection to come (back). */
  drainMs: number
  reconnect: boolean
  /** Keeps the MQTT session over reconnects (clean start off), so that messages are sent again with DUP. */
  keepSession: boolean
  /** For MQTT; null for anonymous clients. */
  login: { username: string; password: string } | null
  /** This thread owns the connections c with c mod threads = thread. */
  thread: number
  threads: number
}

/** What became of one connection's messages, 0 .. sent-1. Enough to tell which the server owes. */
export interface ConnectionOutcome {
  connection: number
  /** Messages handed to the socket at least once. */
  sent: number
  /** All messages before this one were answered (QoS 1, plain WebSocket); with QoS 0 nothing is. */
  answered: number
  /** Those before `answered` whose answer was a refusal. */
  refused: number[]
  /** Those from `answered` on that were acknowledged before their elders. */
  acknowledgedEarly: number[]
  /**
   * Ranges [from, to) that were published anew after a lost connection, so that each may be stored once more.
   */
  republished: [from: number, to: number][]
}

export interface FleetCounters {
  sent: number
  acknowledged: number
  refused: number
  resent: number
  inFlight: number
  connected: number
  connectionsLost: number
  connectionsGivenUp: number
  /** Acknowledgements for nothing that was in flight, and those that overtook an older message's. */
  strayAcks: number
  overtakingAcks: number
}

export interface FleetReport {
  counters: FleetCounters
  /** How often the server gave each reason, worded: `CONNACK 0x87`, `PUBACK 0x97`, `lost: ECONNRESET`. */
  reasons: Record<string, number>
  /** Performance-clock times are per thread, so only lengths leave it: first write to last answer. */
  activeMs: number
  /** PUBACK latency in us, HdrHistogram's compressed encoding. */
  latency: string
  outcomes: ConnectionOutcome[]
}

export function emptyCounters(): FleetCounters {
  return {
    sent: 0,
    acknowledged: 0,
    refused: 0,
    resent: 0,
    inFlight: 0,
    connected: 0,
    connectionsLost: 0,
    connectionsGivenUp: 0,
    strayAcks: 0,
    overtakingAcks: 0,
  }
}
