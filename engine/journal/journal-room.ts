/**
 * Room on the disk that a journal takes before it needs it, beside its work: the next segment's file (the spare), so that
 * a sync has no file size to write; and two reserves, given up when the disk is full, so that what frees the journal can
 * still be written: marks and confirmations, and a snapshot. Owned by the shard's thread. Segments that are given up serve
 * as spares: to make or to delete a file of 64 MiB keeps the journal's syncs waiting for 10-35 ms.
 */
import type { JournalDisk, JournalFile } from './disk.ts'

const SPARE = 'spare'
/** Given up while there was a spare: kept unless the disk is short of room, and never made. */
const SECOND_SPARE = 'spare-second'
/** In the order in which they are taken. */
const RESERVES = ['reserve', 'reserve-snapshot'] as const
const UNFINISHED = '.new'

export type Reserve = (typeof RESERVES)[number]

export class JournalRoom {
  /** The disk had no room for what was to be taken. */
  isShort = false
  readonly #disk: JournalDisk
  /** What each is to have. */
  readonly #sizeBytes: Record<string, number>
  readonly #there = new Set<string>()
  readonly #tooSmall = new Set<string>()
  #isComing = false
  /** The segment is half used up, and none has been given up since it began. */
  #isSpareWanted = false
  /** A snapshot needs all the room there is: nothing is taken. */
  #isYielding = false
  #isClosed = false

  /** Takes over what an earlier life left. Throws what the disk throws. */
  constructor(disk: JournalDisk, sizes: { spareSizeBytes: number; reserveSizeBytes: number }) {
    this.#disk = disk
    this.#sizeBytes = {
      reserve: sizes.reserveSizeBytes,
      'reserve-snapshot': 0,
      [SPARE]: sizes.spareSizeBytes,
      [SECOND_SPARE]: 0,
    }
    const names = disk.list()
    for (const name of [...RESERVES, SPARE, SECOND_SPARE]) {
      if (names.includes(name)) this.#there.add(name)
      if (names.includes(name + UNFINISHED)) disk.remove(name + UNFINISHED)
    }
  }

  get hasSpare(): boolean {
    return this.#there.has(SPARE)
  }

  /** Files may grow: what is kept for later is there, and the disk is not known to be full. */
  get mayGrow(): boolean {
    return !this.isShort && RESERVES.every((name) => this.#there.has(name) || this.#sizeBytes[name] === 0)
  }

  /** Takes what is missing, one file after the other. Without it segments grow as they are written. */
  order(): void {
    const name = [...RESERVES, SPARE].find((candidate) => this.#isMissing(candidate))
    if (name === undefined) this.isShort = false
    if (name === undefined || this.#isComing || this.#isYielding || this.#isClosed) return
    this.#isComing = true
    this.#disk.allocate(name + UNFINISHED, this.#sizeBytes[name], (error) => {
      this.#isComing = false
      if (this.#isClosed) return
      try {
        if (error !== null) throw error
        if (name === SPARE && this.hasSpare)
          this.#disk.remove(name + UNFINISHED) // a segment was given up meanwhile
        else this.#disk.rename(name + UNFINISHED, name)
        this.#tooSmall.delete(name)
        this.#there.add(name)
        this.order()
      } catch {
        this.isShort = true
        this.#removeUnfinished(name)
        this.#drop(SECOND_SPARE)
      }
    })
  }

  /** The next segment will be needed before long. */
  // hot: per batch
  wantSpare(): void {
    if (this.#isSpareWanted) return
    this.#isSpareWanted = true
    this.order()
  }

  /** Takes a larger reserve when it is smaller than that; until it is there the old one stays. */
  enlarge(name: Reserve, sizeBytes: number): void {
    if (sizeBytes <= this.#sizeBytes[name]) return
    this.#sizeBytes[name] = sizeBytes
    this.#tooSmall.add(name)
    this.order()
  }

  /** A file could not grow. */
  onNoRoom(): void {
    this.isShort = true
  }

  /** A spare under another name, or null without one. Throws what the disk throws. */
  takeSpare(name: string): JournalFile | null {
    this.#isSpareWanted = false
    const spare = [SECOND_SPARE, SPARE].find((candidate) => this.#there.delete(candidate))
    if (spare === undefined) return null
    this.#disk.rename(spare, name)
    return this.#disk.open(name)
  }

  /** Gives up a file: it becomes a spare if one is missing and it is large enough. */
  give(name: string, sizeBytes: number): void {
    const isKept = !this.hasSpare || (!this.#there.has(SECOND_SPARE) && !this.isShort)
    if (!isKept || sizeBytes < this.#sizeBytes[SPARE]) {
      this.#disk.remove(name)
      return
    }
    const spare = this.hasSpare ? SECOND_SPARE : SPARE
    this.#disk.rename(name, spare)
    this.#there.add(spare)
    this.order()
  }

  /** Frees a reserve; false when it is in use already. */
  release(name: Reserve): boolean {
    return this.#drop(name)
  }

  /** Gives room to a snapshot that found none, the spare's too: without a snapshot no segment can be given up. */
  yieldToSnapshot(isAllConfirmed: boolean): void {
    this.#isYielding = true
    this.isShort = true
    this.release('reserve-snapshot')
    if (isAllConfirmed) this.release('reserve') // nothing else is left to be written down
    this.#drop(SPARE)
    this.#drop(SECOND_SPARE)
  }

  /** The snapshot is written. */
  resume(): void {
    this.#isYielding = false
    this.order()
  }

  close(): void {
    this.#isClosed = true
  }

  #drop(name: string): boolean {
    if (!this.#there.delete(name)) return false
    this.#disk.remove(name)
    return true
  }

  #isMissing(name: string): boolean {
    if (name === SPARE && !this.#isSpareWanted && !this.isShort) return false
    return this.#sizeBytes[name] > 0 && (!this.#there.has(name) || this.#tooSmall.has(name))
  }

  /** What was written of it would keep others from their room. */
  #removeUnfinished(name: string): void {
    try {
      if (this.#disk.list().includes(name + UNFINISHED)) this.#disk.remove(name + UNFINISHED)
    } catch {
      // a disk that fails says so to the journal
    }
  }
}
