/**
 * A disk in memory for tests and simulation: what was not synced is lost by `crash`, in whole or in part, as a power cut
 * does it; writes can be made to fail. Deterministic from its seed.
 */
import type { Prng } from '../../base/prng.ts'
import type { JournalDisk, JournalFile } from './disk.ts'

const SECTOR_SIZE_BYTES = 512

export class SimDisk implements JournalDisk {
  readonly files = new Map<string, SimFile>()
  /** Thrown by the next writes while set. */
  writeFault: Error | null = null
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
    if (this.files.has(name)) throw new Error(`file ${name} exists`)
    const file = new SimFile(this)
    this.files.set(name, file)
    return file
  }

  remove(name: string): void {
    this.files.delete(name)
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

  constructor(disk: SimDisk) {
    this.#disk = disk
  }

  sizeBytes(): number {
    return this.#bytes.length
  }

  read(target: Uint8Array, offset: number): number {
    const source = this.#bytes.subarray(offset, offset + target.length)
    target.set(source)
    return source.length
  }

  write(parts: readonly Uint8Array[], offset: number): void {
    if (this.#disk.writeFault !== null) throw this.#disk.writeFault
    const size = parts.reduce((sum, part) => sum + part.length, 0)
    const bytes = new Uint8Array(Math.max(this.#bytes.length, offset + size))
    bytes.set(this.#bytes)
    let at = offset
    for (const part of parts) {
      bytes.set(part, at)
      at += part.length
    }
    this.#bytes = bytes
  }

  sync(done: (error: Error | null) => void): void {
    const image = this.#bytes.slice()
    this.#disk.onSync(() => {
      this.#durable = image
      done(null)
    })
  }

  syncNow(): void {
    this.#durable = this.#bytes.slice()
  }

  truncate(sizeBytes: number): void {
    this.#bytes = this.#bytes.slice(0, sizeBytes)
  }

  close(): void {}

  crash(prng: Prng): void {
    const survived = this.#durable.slice()
    const size = prng.between(Math.min(survived.length, this.#bytes.length), this.#bytes.length)
    const bytes = new Uint8Array(size)
    bytes.set(survived.subarray(0, size))
    for (let start = 0; start < size; start += SECTOR_SIZE_BYTES) {
      const end = Math.min(size, start + SECTOR_SIZE_BYTES)
      if (prng.unit() < 0.5) bytes.set(this.#bytes.subarray(Math.max(start, 0), end), start)
    }
    this.#bytes = bytes
    this.#durable = bytes.slice()
  }
}
