/** For tests of gateways: the sessions of one engine over a disk in memory, stepped by hand. */
import type { Clock } from '../../base/clock.ts'
import { DEFAULT_CONFIG } from '../config.ts'
import type { SessionLinkOptions } from '../gateway/session-link.ts'
import { Journal } from '../journal/journal.ts'
import { Doorbell } from '../ring/doorbell.ts'
import { createRing, RingConsumer } from '../ring/ring.ts'
import { SimDisk } from '../simulation/sim-disk.ts'
import { Outlet } from './outlet.ts'
import { SESSION_JOURNAL_OWNER, Sessions } from './sessions.ts'

/** On a disk that fails it is never done. */
const PASS_COUNT_MAX = 100

/** One gateway's part of the memory. */
export interface SessionWiring {
  ring: SharedArrayBuffer
  deliveries: SharedArrayBuffer
  bell: SharedArrayBuffer
  filtersTaken: SharedArrayBuffer
}

export class SessionsFixture {
  readonly disk = new SimDisk()
  readonly wirings: SessionWiring[]
  readonly sessions: Sessions

  constructor(gatewayBells: readonly SharedArrayBuffer[], clock: Clock, ringSizeBytes = 1 << 22) {
    this.disk.isSyncManual = true
    const bell = Doorbell.memory()
    const filtersTaken = new SharedArrayBuffer(4 * gatewayBells.length)
    this.wirings = gatewayBells.map(() => ({
      ring: createRing(ringSizeBytes),
      deliveries: createRing(ringSizeBytes),
      bell,
      filtersTaken,
    }))
    const bells = gatewayBells.map((memory) => new Doorbell(memory))
    this.sessions = new Sessions({
      rings: this.wirings.map(({ ring }) => new RingConsumer(ring)),
      gatewayBells: bells,
      outlets: this.wirings.map(({ deliveries }, index) => new Outlet(deliveries, bells[index])),
      filtersTaken,
      disk: this.disk,
      journal: new Journal(this.disk, {
        ...SESSION_JOURNAL_OWNER,
        segmentSizeBytes: 1 << 20,
        sizeBytesMax: 1 << 24,
      }),
      limits: DEFAULT_CONFIG.limits,
      snapshotIntervalBytes: 1 << 20,
      clock,
      wake: () => {},
      report: () => {},
    })
  }

  linkOptions(gateway: number): SessionLinkOptions {
    const { bell, ...memory } = this.wirings[gateway]
    return { ...memory, bell: new Doorbell(bell) }
  }

  /** Does all that can be done. */
  step(): void {
    for (let pass = 0; pass < PASS_COUNT_MAX; pass++) {
      this.sessions.step()
      this.disk.settle()
      if (this.sessions.isIdle && this.disk.waitingCount === 0) return
    }
  }
}
