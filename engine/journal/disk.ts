/**
 * The files of one shard's journal, as the journal sees them: a flat directory. Handed in, so that a simulation can
 * lose writes, cut them short or fail them. Writes go through the page cache and block; a sync does not.
 */
import {
  closeSync,
  constants,
  fdatasync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  unlinkSync,
  writevSync,
} from 'node:fs'
import { join } from 'node:path'

export interface JournalFile {
  sizeBytes(): number
  /** Fills `target` from `offset` on; returns how many bytes there were. */
  read(target: Uint8Array, offset: number): number
  /** Writes the parts one after another at `offset`, all of them or throws. */
  write(parts: readonly Uint8Array[], offset: number): void
  /** Makes what was written durable. */
  sync(done: (error: Error | null) => void): void
  /** The same, and waits; only at start. */
  syncNow(): void
  truncate(sizeBytes: number): void
  close(): void
}

export interface JournalDisk {
  list(): string[]
  open(name: string): JournalFile
  /** Makes the new file's directory entry durable as well. */
  create(name: string): JournalFile
  remove(name: string): void
}

export class NodeDisk implements JournalDisk {
  #directory: string

  constructor(directory: string) {
    mkdirSync(directory, { recursive: true })
    this.#directory = directory
  }

  list(): string[] {
    return readdirSync(this.#directory)
  }

  open(name: string): JournalFile {
    return new NodeFile(openSync(join(this.#directory, name), constants.O_RDWR))
  }

  create(name: string): JournalFile {
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL
    const file = new NodeFile(openSync(join(this.#directory, name), flags, 0o640))
    this.#syncDirectory()
    return file
  }

  remove(name: string): void {
    unlinkSync(join(this.#directory, name))
  }

  #syncDirectory(): void {
    const descriptor = openSync(this.#directory, constants.O_RDONLY)
    try {
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
  }
}

class NodeFile implements JournalFile {
  #descriptor: number

  constructor(descriptor: number) {
    this.#descriptor = descriptor
  }

  sizeBytes(): number {
    return fstatSync(this.#descriptor).size
  }

  read(target: Uint8Array, offset: number): number {
    let count = 0
    while (count < target.length) {
      const got = readSync(this.#descriptor, target, count, target.length - count, offset + count)
      if (got === 0) break
      count += got
    }
    return count
  }

  write(parts: readonly Uint8Array[], offset: number): void {
    let rest = parts
    let at = offset
    while (rest.length > 0) {
      let written = writevSync(this.#descriptor, rest, at)
      at += written
      let whole = 0
      while (whole < rest.length && written >= rest[whole].length) written -= rest[whole++].length
      rest = rest.slice(whole)
      if (written > 0) rest = [rest[0].subarray(written), ...rest.slice(1)]
    }
  }

  sync(done: (error: Error | null) => void): void {
    fdatasync(this.#descriptor, done)
  }

  syncNow(): void {
    fsyncSync(this.#descriptor)
  }

  truncate(sizeBytes: number): void {
    ftruncateSync(this.#descriptor, sizeBytes)
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}
