/** Who does what next in a simulated life, by the dice: devices, network, threads, disks, store, time, and the faults. */
import type { SimDevice } from './sim-device.ts'
import type { SimEngine } from './sim-engine.ts'
import { DiskError } from './simulation-error.ts'
import type { World } from './world.ts'

export class Turns {
  #world: World
  #devices: readonly SimDevice[]

  constructor(world: World, devices: readonly SimDevice[]) {
    this.#world = world
    this.#devices = devices
  }

  /** Somebody does something, or something happens to somebody. */
  async take(engine: SimEngine, mayPublish: boolean, isServing = true): Promise<void> {
    const prng = this.#world.prng
    const { pace, faultShare } = this.#world.settings
    if (prng.unit() < 0.2) this.#passTime()
    if (prng.unit() < faultShare) {
      this.#disturb(engine)
      return
    }
    const dice = prng.unit()
    let actor = pace.find(({ end }) => dice < end)?.actor ?? 'store'
    if (!isServing && (actor === 'device' || actor === 'network' || actor === 'gateway')) actor = 'shard'
    if (actor === 'device') this.#any(this.#devices)?.act(engine, mayPublish)
    else if (actor === 'network') this.#carry(engine)
    else if (actor === 'gateway') this.#any(engine.gateways.filter(({ isRunnable }) => isRunnable))?.run()
    else if (actor === 'shard') this.#any(engine.shards.filter(({ isRunnable }) => isRunnable))?.run()
    else if (actor === 'disk') this.#endDiskWork()
    else await this.answer()
  }

  /** Mostly a little; now and then a second or a minute, and with an unsteady clock also backwards. */
  #passTime(): void {
    const { prng, clock, settings } = this.#world
    const dice = prng.unit()
    if (settings.isClockUnsteady && dice > 0.98) clock.advance(-prng.between(0, 100_000))
    const longestMs = dice < 0.9 ? 60 : dice < 0.99 ? 2000 : 40_000
    clock.advance(prng.between(0, longestMs))
  }

  /** Some bytes of some connection arrive, one way. */
  #carry(engine: SimEngine): void {
    const prng = this.#world.prng
    const socket = this.#any(engine.sockets)
    if (socket === undefined) return
    const sizeBytes = prng.unit() < 0.2 ? prng.between(1, 8) : prng.between(1, 4000)
    if (socket.isStuck && prng.unit() < 0.3) socket.unstick()
    else if (prng.unit() < 0.6) socket.bringToGateway(sizeBytes)
    else socket.bringToDevice(sizeBytes)
    if (socket.isOver) engine.sockets.splice(engine.sockets.indexOf(socket), 1)
  }

  #endDiskWork(): void {
    const disk = this.#any(this.#world.disks.filter(({ waitingCount }) => waitingCount > 0))
    disk?.settle(this.#world.prng.between(0, disk.waitingCount - 1))
  }

  /** One answer of the store, and what follows from it. */
  async answer(): Promise<void> {
    if (this.#world.store.waitingCount === 0) return
    this.#world.store.answer(this.#world.prng)
    await microtasks()
  }

  #disturb(engine: SimEngine): void {
    const prng = this.#world.prng
    const { storeFaults } = this.#world.settings
    const dice = prng.unit()
    if (dice < 0.5) this.#any(this.#devices)?.disturb(engine)
    else if (dice < 0.75) this.#turnDiskFault()
    else if (dice < 0.95) {
      this.#world.store.fault = this.#world.store.fault === null ? (this.#any(storeFaults) ?? null) : null
      this.#world.trace.note('store:', this.#world.store.fault ?? 'well')
    } else this.#world.store.commitLate(prng)
  }

  #turnDiskFault(): void {
    const disk = this.#any(this.#world.disks)
    if (disk === undefined) return
    const isWell = disk.writeFault === null && disk.syncFault === null
    const fault = isWell ? this.#any(this.#world.settings.diskFaults) : undefined
    disk.writeFault = fault === 'no-room' ? new DiskError('ENOSPC') : null
    disk.shortWriteSizeBytes = this.#world.prng.between(0, 3000)
    disk.syncFault = fault === 'sync-fails' ? new DiskError('EIO') : null
    this.#world.trace.note('disk', this.#world.disks.indexOf(disk), fault ?? 'well')
    if (fault !== undefined) this.#world.trace.tally(fault)
  }

  endFaults(): void {
    this.#world.store.fault = null
    for (const disk of this.#world.disks) {
      disk.writeFault = null
      disk.syncFault = null
    }
  }

  #any<T>(all: readonly T[]): T | undefined {
    return all.length === 0 ? undefined : all[this.#world.prng.between(0, all.length - 1)]
  }
}

export function microtasks(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
