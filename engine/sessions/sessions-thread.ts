/**
 * The sessions on their thread: opens their journal, and calls the step machine when the bell rings, a sync ends, or time
 * has come.
 */
import { systemClock } from '../../base/clock.ts'
import { EngineError } from '../engine-error.ts'
import { NodeDisk } from '../journal/disk.ts'
import { Journal } from '../journal/journal.ts'
import { JournalError } from '../journal/segment-recovery.ts'
import { Doorbell } from '../ring/doorbell.ts'
import { RingConsumer } from '../ring/ring.ts'
import { StepLoop } from '../ring/step-loop.ts'
import { Outlet } from './outlet.ts'
import type { DroppedCounts, SessionLimits } from './session-context.ts'
import { SESSION_JOURNAL_OWNER, Sessions } from './sessions.ts'

export interface SessionsSetup {
  journalPath: string
  journalSizeBytesMax: number
  segmentSizeBytes: number
  limits: SessionLimits
  /** By gateway: from it, to it, its bell. */
  rings: SharedArrayBuffer[]
  deliveryRings: SharedArrayBuffer[]
  gatewayBells: SharedArrayBuffer[]
  /** An Int32 word for each gateway. */
  filtersTaken: SharedArrayBuffer
  bell: SharedArrayBuffer
}

/** All but `dropped` and `syncs` are how things stand now. */
export interface SessionsStatus {
  sessions: number
  sessionsConnected: number
  queuedMessages: number
  queuedSizeBytes: number
  retainedMessages: number
  retainedSizeBytes: number
  willsPending: number
  sharedGroups: number
  dropped: DroppedCounts
  journalSizeBytes: number
  isJournalFull: boolean
  syncs: number
}

export type SessionsReport =
  /** The state of before is there again. */
  | { kind: 'ready' }
  | { kind: 'status'; status: SessionsStatus }
  | { kind: 'fault'; code: string; message: string; isOver: boolean }

export interface SessionsControl {
  status(): SessionsStatus
  /** Resolves once everything that gateways have written is durable; false when that took longer. */
  drain(timeoutMs: number): Promise<boolean>
  stop(): Promise<void>
}

/** Reports `ready`. Throws EngineError when the journal's files can't be gone on with. */
export function startSessions(
  setup: SessionsSetup,
  report: (message: SessionsReport) => void,
): SessionsControl {
  try {
    const control = openSessions(setup, report)
    report({ kind: 'ready' })
    return control
  } catch (error) {
    const { syscall, message } = error as NodeJS.ErrnoException
    const isForeign = error instanceof JournalError
    if (!isForeign && syscall === undefined) throw error // ours, and no fault of the files
    const code = isForeign ? error.code : 'JOURNAL_UNUSABLE'
    const advice =
      'restore it from a copy, or remove that directory, and with it all sessions and retained messages'
    throw new EngineError(
      code,
      `the journal in ${setup.journalPath} can't be used: ${message}; ${advice}`,
      error,
    )
  }
}

function openSessions(setup: SessionsSetup, report: (message: SessionsReport) => void): SessionsControl {
  const bell = new Doorbell(setup.bell)
  const rings = setup.rings.map((memory) => new RingConsumer(memory))
  const gatewayBells = setup.gatewayBells.map((memory) => new Doorbell(memory))
  const disk = new NodeDisk(setup.journalPath)
  const { segmentSizeBytes, journalSizeBytesMax, limits, filtersTaken } = setup
  const journal = new Journal(disk, {
    ...SESSION_JOURNAL_OWNER,
    segmentSizeBytes,
    sizeBytesMax: journalSizeBytesMax,
  })
  const sessions = new Sessions({
    rings,
    gatewayBells,
    outlets: setup.deliveryRings.map((ring, gateway) => new Outlet(ring, gatewayBells[gateway])),
    filtersTaken,
    disk,
    journal,
    limits,
    snapshotIntervalBytes: segmentSizeBytes,
    clock: systemClock,
    wake: () => loop.wake(),
    report: (fault) => report({ kind: 'fault', isOver: false, ...fault }),
  })

  const loop = new StepLoop(bell, {
    step: () => sessions.step(),
    hasWork: () => sessions.intake.isIdle && !sessions.isIdle,
  })
  loop.wake()
  return {
    status: () => statusOf(sessions, journal),
    async drain(timeoutMs) {
      const deadlineMs = performance.now() + timeoutMs
      while (!sessions.isIdle && performance.now() < deadlineMs) await pause(5)
      return sessions.isIdle
    },
    async stop() {
      loop.stop()
      while (journal.isSyncing) await pause(1)
      await sessions.close()
    },
  }
}

function statusOf({ machine, intake }: Sessions, journal: Journal): SessionsStatus {
  const { context, sessions, retained, filters } = machine
  return {
    sessions: sessions.count,
    sessionsConnected: sessions.connectedCount,
    queuedMessages: context.queuedCount,
    queuedSizeBytes: context.queuedSizeBytes,
    retainedMessages: retained.count,
    retainedSizeBytes: retained.sizeBytes,
    willsPending: sessions.willsPending,
    sharedGroups: filters.groupCount,
    dropped: { ...context.dropped },
    journalSizeBytes: journal.sizeBytes,
    isJournalFull: journal.isFull,
    syncs: intake.syncCount,
  }
}

function pause(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs))
}
