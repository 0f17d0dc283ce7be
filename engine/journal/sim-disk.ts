/**
 * A disk in memory for tests and simulation: what was not synced is lost by `crash`, in whole or in part, as a power cut
 * does it; writes can be cut short or fail, syncs can fail and then have lost what they were to keep, bits can flip.
 * Deterministic from its seed. Changes of the directory are durable at once, as the interface promises.
 */
import type { Prng } from '../../base/prng.ts'
import type { JournalDisk, JournalFile } from './disk.ts'

const SECTOR_SIZE_BYTES = 512

export class SimDisk implements JournalDisk {
  readonly files = new Map<string, SimFile>()
  /** Thrown by the next writes while set; a part of what they write may get there. */
  writeFault: Error | null = null
  /** The next syncs fail with it while set, and what they were to make durable is gone for good. */
  syncFault: Error | null = null
  /** Whether syncs end on `settle` (then several steps fit between) or at once. */
  isSyncManual = false
  #waiting: (() => void)[] = []

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
    return file
  }

  rename(from: string, to: string): void {
    this.files.set(to, this.open(from))
    this.files.delete(from)
  }

  remove(name: string): void {
    this.files.delete(name)
  }

  allocate(name: string, sizeBytes: number, done: (error: Error | null) => void): void {
    this.onSync(() => {
      if (this.writeFault !== null) return done(this.writeFault)
      const file = this.create(name)
      file.write([new Uint8Array(sizeBytes)], 0)
      file.syncNow()
      done(null)
    })
  }

  /** Ends the syncs that are under way. */
  settle(): void {
    for (const done of this.#waiting.splice(0)) done()
  }

  /** A power cut: every sector written since the last sync is there or not, as the dice fall. */
  crash(prng: Prng): void {
    this.#waiting.length = 0
    for (const file of this.files.values()) file.crash(prng)
  }

  onSync(done: () => void): void {
    if (this.isSyncManual) this.#waiting.push(done)
    else queueMicrotask(done)
  }
}

export class SimFile implements JournalFile {
  #disk: SimDisk
  #bytes = new Uint8Array(0)
  #durable = new Uint8Array(0)
  #sizeBytes = 0

  constructor(disk: SimDisk) {
    this.#disk = disk
  }

  sizeBytes(): number {
    return this.#sizeBytes
  }

  read(target: Uint8Array, offset: number): number {
    const source = this.#bytes.subarray(offset, Math.min(this.#sizeBytes, offset + target.length))
    target.set(source)
    return source.length
  }

  write(parts: readonly Uint8Array[], offset: number): void {
    let at = offset
    for (const part of parts) {
      this.#reserve(at + part.length)
      this.#bytes.set(part, at)
      at += part.length
      this.#sizeBytes = Math.max(this.#sizeBytes, at)
      if (this.#disk.writeFault !== null) throw this.#disk.writeFault
    }
  }

  sync(done: (error: Error | null) => void): void {
    const image = this.#bytes.slice(0, this.#sizeBytes)
    this.#disk.onSync(() => {
      if (this.#disk.syncFault === null) {
        this.#durable = image
        done(null)
        return
      }
      this.#bytes = this.#durable.slice()
      this.#sizeBytes = this.#durable.length
      done(this.#disk.syncFault)
    })
  }

  syncNow(): void {
    this.#durable = this.#bytes.slice(0, this.#sizeBytes)
  }

  close(): void {}

  flipBit(offset: number, bit: number): void {
    this.#bytes[offset] ^= 1 << bit
    this.#durable[offset] ^= 1 << bit
  }

  crash(prng: Prng): void {
    const durable = this.#durable
    const size = prng.between(Math.min(durable.length, this.#sizeBytes), this.#sizeBytes)
    const bytes = new Uint8Array(size)
    bytes.set(durable.subarray(0, size))
    for (let start = 0; start < size; start += SECTOR_SIZE_BYTES) {
      const end = Math.min(size, start + SECTOR_SIZE_BYTES)
      if (prng.unit() < 0.5) bytes.set(this.#bytes.subarray(start, end), start)
    }
    this.#bytes = bytes
    this.#sizeBytes = size
    this.#durable = bytes.slice()
  }

  #reserve(sizeBytes: number): void {
    if (sizeBytes <= this.#bytes.length) return
    const bytes = new Uint8Array(Math.max(sizeBytes, this.#bytes.length * 2))
    bytes.set(this.#bytes.subarray(0, this.#sizeBytes))
    this.#bytes = bytes
  }
}
