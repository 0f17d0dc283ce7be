/** A journal segment's file as the audit sees it: opened for reading only, so that an engine may go on writing it. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import type { JournalFile } from '../journal/disk.ts'

export class ReadOnlyFile implements JournalFile {
  #descriptor: number

  /** Throws what the file system throws. */
  constructor(path: string) {
    this.#descriptor = openSync(path, constants.O_RDONLY)
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

  write(): never {
    throw new Error('the audit writes no journal')
  }

  sync(): never {
    return this.write()
  }

  syncNow(): never {
    return this.write()
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}
