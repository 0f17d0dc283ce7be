/** What the parts of the session machine share: bounds, time, counts, and the way out. Owned by the session thread. */
import type { SessionRecord } from '../../codecs/session/record.ts'

export interface SessionLimits {
  sessionsMax: number
  /** Messages that wait for one session, and their bytes; more are dropped, the newest first. */
  sessionQueueCountMax: number
  sessionQueueSizeBytesMax: number
  /** Bytes that wait for all sessions together. */
  queuedSizeBytesMax: number
  retainedCountMax: number
  retainedSizeBytesMax: number
}

/** Where answers and deliveries go; they leave when the records that caused them are durable. */
export interface SessionOutput {
  send(gateway: number, record: SessionRecord): void
  /** To all gateways. */
  tell(record: SessionRecord): void
  /** Once every gateway has taken what it was told until now. */
  sendWhenTaken(gateway: number, record: SessionRecord): void
  /** So much is on its way that nothing should be added that may be left out. */
  readonly isCongested: boolean
}

/** Messages that were not delivered, by reason; since the start. */
export interface DroppedCounts {
  /** The session's queue was full. */
  queueFull: number
  /** All queues together were full. */
  allQueuesFull: number
  expired: number
  /** Nobody of a shared subscription could take it. */
  unshared: number
  /** Their session ended. */
  sessionEnded: number
  /** There was no room to retain it. */
  retainedFull: number
}

export class SessionContext {
  readonly limits: SessionLimits
  /** Nothing leaves during a replay. */
  output: SessionOutput | null = null
  /** The journal's time, as far as it has gone forward; ms. */
  nowMs = 0
  /** In all queues. A message's bytes count once, however many wait for it. */
  queuedCount = 0
  queuedSizeBytes = 0
  readonly dropped: DroppedCounts = {
    queueFull: 0,
    allQueuesFull: 0,
    expired: 0,
    unshared: 0,
    sessionEnded: 0,
    retainedFull: 0,
  }

  constructor(limits: SessionLimits) {
    this.limits = limits
  }
}
