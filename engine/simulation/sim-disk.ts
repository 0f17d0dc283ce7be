/**
 * A disk in memory, for tests and the simulation: what was not synced is lost by a power cut, in whole or in part; writes
 * can be cut short or fail; a sync can fail, and then what it was to keep never reaches the disk, whether the page cache
 * still shows it or not; bits can flip. Deterministic from its seed. Changes of the directory are durable at once, as the
 * interface promises.
 */
import type { Prng } from '../../base/prng.ts'
import type { JournalDisk, JournalFile } from '../journal/disk.ts'

const SECTOR_SIZE_BYTES = 512

export class SimDisk implements JournalDisk {
  readonly files = new Map<string, SimFile>()
  /** Thrown by the next writes while set; `shortWriteSizeBytes` of what they write get there. */
  writeFault: Error | null = null
  shortWriteSizeBytes = SECTOR_SIZE_BYTES
  /** The next syncs fail with it while set. */
  syncFault: Error | null = null
  /** Whether after a failed sync the page cache still shows what the disk does not have. */
  isCacheKept = false
  /** Whether syncs and allocations end by `settle` (then several steps fit between) or at once. */
  isSyncManual = false
  /** Of all files together; growing beyond it is ENOSPC. */
  sizeBytesMax = Number.POSITIVE_INFINITY
  /** What beyond it threw. */
  noRoom: Error = new Error('ENOSPC')
  #waiting: (() => void)[] = []

  /** Syncs and allocations that are under way. */
  get waitingCount(): number {
    return this.#waiting.length
  }

  /** Bytes that files can grow by. */
  get roomSizeBytes(): number {
    let sizeBytes = this.sizeBytesMax
    for (const file of this.files.values()) sizeBytes -= file.sizeBytes()
    return sizeBytes
  }

  list(): string[] {
    return [...this.files.keys()]
  }

  open(name: string): SimFile {
    const file = this.files.get(name)
    if (file === undefined) throw new Error(`no file ${name}`)
    return file
  }

  create(name: string): SimFile {
    if (this.writeFault !== null) throw this.writeFault
    const file = new SimFile(this)
    this.files.set(name, file)
    this.#syncDirectory()
    return file
  }

  rename(from: string, to: string): void {
    this.files.set(to, this.open(from))
    this.files.delete(from)
    this.#syncDirectory()
  }

  remove(name: string): void {
    this.files.delete(name)
    this.#syncDirectory()
  }

  allocate(name: string, sizeBytes: number, done: (error: Error | null) => void): void {
    this.later(() => {
      if (this.writeFault !== null) return done(this.writeFault)
      try {
        const file = this.create(name)
        file.write([new Uint8Array(sizeBytes)], 0)
        file.syncNow()
      } catch (error) {
        return done(error as Error)
      }
      done(null)
    })
  }

  /** Ends what is under way, or only the one with that place. */
  settle(place?: number): void {
    const ended = place === undefined ? this.#waiting.splice(0) : this.#waiting.splice(place, 1)
    for (const end of ended) end()
  }

  /** A power cut: every sector written since the last sync is there or not, as the dice fall. */
  crash(prng: Prng): void {
    this.#waiting.length = 0
    for (const file of this.files.values()) file.crash(prng)
  }

  /** The process is killed: the page cache survives it, and a sync under way is as good as none. */
  kill(): void {
    this.#waiting.length = 0
    for (const file of this.files.values()) file.kill()
  }

  /** What failed is done all the same. */
  #syncDirectory(): void {
    if (this.syncFault !== null) throw this.syncFault
  }

  later(end: () => void): void {
    if (this.isSyncManual) this.#waiting.push(end)
    else queueMicrotask(end)
  }
}

export class SimFile implements JournalFile {
  #disk: SimDisk
  /** What reads see, and what a power cut leaves. */
  #cached = new Uint8Array(0)
  #durable = new Uint8Array(0)
  #sizeBytes = 0
  #durableSizeBytes = 0
  /** Sectors whose content in the cache is not on the disk, and will be with the next sync. */
  #dirty = new Set<number>()
  #isSyncing: Set<number>[] = []

  constructor(disk: SimDisk) {
    this.#disk = disk
  }

  sizeBytes(): number {
    return this.#sizeBytes
  }

  read(target: Uint8Array, offset: number): number {
    const source = this.#cached.subarray(offset, Math.min(this.#sizeBytes, offset + target.length))
    target.set(source)
    return source.length
  }

  write(parts: readonly Uint8Array[], offset: number): void {
    const { writeFault, shortWriteSizeBytes, noRoom } = this.#disk
    let sizeBytes = 0
    for (const part of parts) sizeBytes += part.length
    const room = this.#sizeBytes - offset + this.#disk.roomSizeBytes
    const isTooLarge = sizeBytes > room
    let left = writeFault !== null ? Math.min(shortWriteSizeBytes, room) : room
    let at = offset
    for (const part of parts) {
      const written = part.subarray(0, Math.max(0, left))
      this.#put(written, at)
      at += written.length
      left -= written.length
    }
    if (writeFault !== null) throw writeFault
    if (isTooLarge) throw noRoom
  }

  sync(done: (error: Error | null) => void): void {
    const sectors = this.#dirty
    const sizeBytes = this.#sizeBytes
    const image = new Map(
      [...sectors].map((sector) => [sector, this.#sectorOf(this.#cached, sector).slice()]),
    )
    this.#dirty = new Set()
    this.#isSyncing.push(sectors)
    this.#disk.later(() => {
      this.#isSyncing.splice(this.#isSyncing.indexOf(sectors), 1)
      const { syncFault } = this.#disk
      if (syncFault !== null) this.#lose(sectors)
      else this.#keep(image, sizeBytes)
      done(syncFault)
    })
  }

  syncNow(): void {
    const sectors = this.#dirty
    this.#dirty = new Set()
    if (this.#disk.syncFault !== null) {
      this.#lose(sectors)
      throw this.#disk.syncFault
    }
    const image = new Map([...sectors].map((sector) => [sector, this.#sectorOf(this.#cached, sector)]))
    this.#keep(image, this.#sizeBytes)
  }

  close(): void {}

  flipBit(offset: number, bit: number): void {
    this.#cached[offset] ^= 1 << bit
    if (offset < this.#durable.length) this.#durable[offset] ^= 1 << bit
  }

  crash(prng: Prng): void {
    this.kill()
    const sizeBytes = prng.between(Math.min(this.#durableSizeBytes, this.#sizeBytes), this.#sizeBytes)
    for (const sector of this.#dirty) {
      if (prng.unit() < 0.5) this.#keep(new Map([[sector, this.#sectorOf(this.#cached, sector)]]), 0)
    }
    this.#durable = sized(this.#durable, sizeBytes).slice(0, sizeBytes)
    this.#cached = this.#durable.slice()
    this.#sizeBytes = sizeBytes
    this.#durableSizeBytes = sizeBytes
    this.#dirty.clear()
  }

  kill(): void {
    for (const sectors of this.#isSyncing.splice(0)) for (const sector of sectors) this.#dirty.add(sector)
  }

  #put(bytes: Uint8Array, at: number): void {
    if (bytes.length === 0) return
    const end = at + bytes.length
    if (end > this.#cached.length) this.#cached = sized(this.#cached, Math.max(end, this.#cached.length * 2))
    this.#cached.set(bytes, at)
    this.#sizeBytes = Math.max(this.#sizeBytes, end)
    const last = Math.floor((end - 1) / SECTOR_SIZE_BYTES)
    for (let sector = Math.floor(at / SECTOR_SIZE_BYTES); sector <= last; sector++) this.#dirty.add(sector)
  }

  #keep(image: ReadonlyMap<number, Uint8Array>, sizeBytes: number): void {
    this.#durableSizeBytes = Math.max(this.#durableSizeBytes, sizeBytes)
    for (const [sector, bytes] of image) {
      const start = sector * SECTOR_SIZE_BYTES
      const end = start + bytes.length
      if (end > this.#durable.length)
        this.#durable = sized(this.#durable, Math.max(end, this.#durable.length * 2))
      this.#durable.set(bytes, start)
    }
  }

  /** A sync has failed: the sectors count as clean, and are not on the disk. */
  #lose(sectors: Iterable<number>): void {
    if (this.#disk.isCacheKept) return
    for (const sector of sectors) {
      const bytes = this.#sectorOf(this.#cached, sector)
      const durable = this.#sectorOf(this.#durable, sector)
      bytes.fill(0)
      bytes.set(durable.subarray(0, bytes.length))
    }
  }

  #sectorOf(bytes: Uint8Array, sector: number): Uint8Array {
    const start = sector * SECTOR_SIZE_BYTES
    return bytes.subarray(start, Math.min(start + SECTOR_SIZE_BYTES, Math.max(start, this.#sizeBytes)))
  }
}

/** The bytes in memory of at least that size, with zeros behind them. */
function sized(bytes: Uint8Array, sizeBytes: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(Math.max(sizeBytes, bytes.length))
  larger.set(bytes)
  return larger
}
