/**
 * The files of one shard's journal, as the journal sees them: a flat directory. Handed in, so that a simulation can
 * lose writes, cut them short or fail them. Writes go through the page cache and block; a sync does not.
 */
import {
  closeSync,
  constants,
  fdatasync,
  fstatSync,
  fsync,
  fsyncSync,
  open,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  statfs,
  unlinkSync,
  write,
  writevSync,
} from 'node:fs'
import { join } from 'node:path'
import { makeDirectory } from '../make-directory.ts'

export interface JournalFile {
  sizeBytes(): number
  /** Fills `target` from `offset` on; returns how many bytes there were. */
  read(target: Uint8Array, offset: number): number
  /** Writes the parts one after another at `offset`, all of them or throws. */
  write(parts: readonly Uint8Array[], offset: number): void
  /** Makes what was written durable. */
  sync(done: (error: Error | null) => void): void
  /** The same, and waits; only where a segment begins. */
  syncNow(): void
  close(): void
}

/** Changes of the directory are durable when they return. */
export interface JournalDisk {
  list(): string[]
  open(name: string): JournalFile
  create(name: string): JournalFile
  /** Replaces `to` when it exists. */
  rename(from: string, to: string): void
  remove(name: string): void
  /** Makes a file of that many zeros beside the journal's work, and syncs it. */
  allocate(name: string, sizeBytes: number, done: (error: Error | null) => void): void
}

const ROOM_FAULTS = new Set(['ENOSPC', 'EDQUOT'])

/** Whether the disk had no room; then the place on it is not to blame. */
export function isRoomFault(error: unknown): boolean {
  return ROOM_FAULTS.has((error as NodeJS.ErrnoException).code ?? '')
}

const ALLOCATE_SLICE_SIZE_BYTES = 1 << 20

export class NodeDisk implements JournalDisk {
  #directory: string

  constructor(directory: string) {
    makeDirectory(directory)
    this.#directory = directory
  }

  list(): string[] {
    return readdirSync(this.#directory)
  }

  open(name: string): JournalFile {
    return new NodeFile(openSync(this.#path(name), constants.O_RDWR))
  }

  create(name: string): JournalFile {
    const file = new NodeFile(
      openSync(this.#path(name), constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, 0o640),
    )
    this.#syncDirectory()
    return file
  }

  rename(from: string, to: string): void {
    renameSync(this.#path(from), this.#path(to))
    this.#syncDirectory()
  }

  remove(name: string): void {
    unlinkSync(this.#path(name))
    this.#syncDirectory()
  }

  allocate(name: string, sizeBytes: number, done: (error: Error | null) => void): void {
    statfs(this.#directory, (error, room) => {
      if (error !== null) done(error)
      else if (room.bavail * room.bsize < sizeBytes)
        done(new Error(`the disk has no ${sizeBytes} bytes left`))
      else this.#fill(name, sizeBytes, done)
    })
  }

  #fill(name: string, sizeBytes: number, done: (error: Error | null) => void): void {
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC
    open(this.#path(name), flags, 0o640, (error, descriptor) => {
      if (error !== null) return done(error)
      const end = (failure: Error | null) => {
        closeSync(descriptor)
        done(failure)
      }
      const zeros = new Uint8Array(ALLOCATE_SLICE_SIZE_BYTES)
      const fill = (offset: number) => {
        if (offset >= sizeBytes) return fsync(descriptor, end)
        write(descriptor, zeros, 0, Math.min(zeros.length, sizeBytes - offset), offset, (failure, count) => {
          if (failure !== null) end(failure)
          else fill(offset + count)
        })
      }
      fill(0)
    })
  }

  #path(name: string): string {
    return join(this.#directory, name)
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

  close(): void {
    closeSync(this.#descriptor)
  }
}
