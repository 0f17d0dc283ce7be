/**
 * A note beside the journal of the position that is being processed, for a start after a death: what ended the engine is
 * then looked at record by record, and the record that ends it again and again is found. Not synced: a note that a power
 * cut takes away only costs one more try. Owned by the shard's thread.
 */
import type { JournalDisk, JournalFile } from '../journal/disk.ts'

const NAME = 'processing'
const NOBODY = -1

export interface Suspect {
  /** Of a batch, or of a record within one. */
  position: number
  /** How often the engine ended there. */
  deathCount: number
}

export class ProgressNote {
  /** Where the engine ended last time, if it was while processing. */
  readonly suspect: Suspect | null
  #file: JournalFile | null
  #words = new Float64Array(2)
  #bytes = [new Uint8Array(this.#words.buffer)]

  constructor(disk: JournalDisk) {
    this.suspect = readSuspect(disk)
    this.#file = createNote(disk)
    this.end()
  }

  // hot: per batch
  begin(position: number): void {
    this.#words[0] = position
    this.#words[1] = this.suspect?.position === position ? this.suspect.deathCount : 0
    this.#write()
  }

  // hot: per batch
  end(): void {
    this.#words[0] = NOBODY
    this.#write()
  }

  #write(): void {
    try {
      this.#file?.write(this.#bytes, 0)
    } catch {
      // as in `createNote`
    }
  }

  close(): void {
    this.#file?.close()
  }
}

/** A disk that fails is the journal's to report; without its note a death is only harder to explain. */
function createNote(disk: JournalDisk): JournalFile | null {
  try {
    return disk.create(NAME)
  } catch {
    return null
  }
}

function readSuspect(disk: JournalDisk): Suspect | null {
  if (!disk.list().includes(NAME)) return null
  const words = new Float64Array([NOBODY, 0])
  const file = disk.open(NAME)
  const size = file.read(new Uint8Array(words.buffer), 0)
  file.close()
  const [position, deathCount] = words
  return size < 16 || !(position >= 0) ? null : { position, deathCount: deathCount + 1 }
}
