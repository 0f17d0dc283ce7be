/**
 * The snapshots beside a shard's journal: the state of its pipeline where a batch ended. Owned by the shard's thread.
 * A snapshot is written slice by slice from the pipeline's own memory, which must stand still until the last slice is
 * written; then it is synced and gets its name. Recovery starts from the newest one that is intact and whose last
 * batch is known to be in ClickHouse.
 */
import { crc32 } from 'node:zlib'
import { assert } from '../../base/assert.ts'
import {
  decodeSnapshotHeader,
  encodeSnapshotHeader,
  SNAPSHOT_HEADER_SIZE_BYTES,
} from '../../codecs/journal/snapshot-header.ts'
import { StateReader, type StateWriter } from '../../codecs/state.ts'
import type { JournalDisk, JournalFile } from './disk.ts'
import type { JournalOwner } from './segment-recovery.ts'

const SLICE_SIZE_BYTES_MAX = 512 << 10
/** The older one is for a disk that has spoilt the newer one. */
const KEPT_COUNT = 2
const NEW_NAME = 'snapshot.new'
/** `.stored` says that the batch it ends with is in ClickHouse: a full disk has no room to say so elsewhere. */
const NAME = /^(\d{16})\.(snapshot|stored)$/

interface Writing {
  file: JournalFile
  header: Parameters<typeof encodeSnapshotHeader>[0]
  parts: Uint8Array[]
  offset: number
}

export interface RestoredSnapshot {
  position: number
  /** The last batch that ended at or before it. */
  mark: number
  /** The last batch known to be in ClickHouse. */
  confirmedMark: number
  state: StateReader
}

export class Snapshots {
  /** Positions of the snapshots that are there, ascending. */
  readonly positions: number[] = []
  /** Size of the newest one. */
  sizeBytes = 0
  /** Those whose name says that their last batch is in ClickHouse. */
  #stored = new Set<number>()
  #disk: JournalDisk
  #owner: JournalOwner
  #writing: Writing | null = null
  #isSyncing = false

  constructor(disk: JournalDisk, owner: JournalOwner) {
    this.#disk = disk
    this.#owner = owner
    for (const name of disk.list()) {
      const [, position, kind] = NAME.exec(name) ?? []
      if (kind === 'stored') this.#stored.add(Number(position))
      if (kind !== undefined) this.positions.push(Number(position))
    }
    this.positions.sort((a, b) => a - b)
  }

  /** The pipeline must stand still. */
  get isCopying(): boolean {
    return this.#writing !== null
  }

  get isBusy(): boolean {
    return this.isCopying || this.#isSyncing
  }

  /**
   * The newest snapshot that is intact, not behind `journalEnd`, and whose last batch is confirmed: by the journal, which
   * knows it of marks up to `confirmedMark`, or by a snapshot. Null when there is none. Newer ones are deleted: they know
   * of batches that a crash has taken back, and that may now end elsewhere.
   */
  restore(confirmedMark: number, journalEnd: number): RestoredSnapshot | null {
    const found = this.positions.map((position) => (position > journalEnd ? null : this.#read(position)))
    const confirmed = Math.max(confirmedMark, ...found.map((snapshot) => snapshot?.confirmedMark ?? 0))
    for (const snapshot of found.reverse()) {
      if (snapshot !== null && snapshot.mark <= confirmed) return { ...snapshot, confirmedMark: confirmed }
      this.#delete(this.positions[this.positions.length - 1])
    }
    return null
  }

  /** Begins a snapshot of the state that `state` has gathered; `continue` writes it. Throws what the disk throws. */
  begin(position: number, mark: number, confirmedMark: number, state: StateWriter): void {
    assert(!this.isBusy, 'one snapshot at a time')
    const { storeId, shard, shardCount } = this.#owner
    const sizeBytes = SNAPSHOT_HEADER_SIZE_BYTES + state.sizeBytes
    const header = { checksum: 0, sizeBytes, position, mark, confirmedMark, storeId, shard, shardCount }
    header.checksum = crc32(encodeSnapshotHeader(header).subarray(8))
    const file = this.#disk.create(NEW_NAME)
    this.#writing = { file, header, parts: state.parts.slice(), offset: SNAPSHOT_HEADER_SIZE_BYTES }
  }

  /** Writes the next slice; after the last one syncs, and calls `done`. Throws what the disk throws, and then it is given up. */
  continue(done: (error: Error | null) => void): void {
    const writing = this.#writing
    assert(writing !== null, 'a snapshot has begun')
    try {
      const slice = takeSlice(writing.parts)
      for (const part of slice) writing.header.checksum = crc32(part, writing.header.checksum)
      writing.file.write(slice, writing.offset)
      writing.offset += slice.reduce((sum, part) => sum + part.length, 0)
      if (writing.parts.length > 0) return
      writing.file.write([encodeSnapshotHeader(writing.header)], 0)
    } catch (error) {
      this.#writing = null
      writing.file.close()
      this.#disk.remove(NEW_NAME) // on a full disk its part is room for others
      throw error
    }
    this.#writing = null
    this.#isSyncing = true
    writing.file.sync((error) => {
      this.#isSyncing = false
      writing.file.close()
      if (error === null) this.#publish(writing.header.position, writing.offset)
      done(error)
    })
  }

  /**
   * Deletes what recovery does not need when everything before `position` is in ClickHouse: all but the two newest
   * snapshots at or before it, or on a full disk (`isShort`) all but the newest. Returns the position from which on the
   * journal is needed.
   */
  releaseBefore(position: number, isShort: boolean): number {
    const usable = this.positions.filter((candidate) => candidate <= position)
    const newest = usable.at(-1)
    if (isShort && newest !== undefined) this.#noteStored(newest) // the journal that knows it may go
    const kept = usable.length - (isShort ? 1 : KEPT_COUNT)
    for (const candidate of usable.slice(0, Math.max(0, kept))) this.#delete(candidate)
    return usable[kept] ?? 0
  }

  #publish(position: number, sizeBytes: number): void {
    if (this.positions.includes(position)) this.#delete(position)
    this.#disk.rename(NEW_NAME, `${baseName(position)}.snapshot`)
    this.positions.push(position)
    this.sizeBytes = sizeBytes
  }

  #read(position: number): RestoredSnapshot | null {
    const file = this.#disk.open(this.#name(position))
    const bytes = new Uint8Array(file.sizeBytes())
    file.read(bytes, 0)
    file.close()
    const header = decodeSnapshotHeader(bytes)
    if (header === null || header.position !== position || header.sizeBytes !== bytes.length) return null
    if (Buffer.compare(header.storeId, this.#owner.storeId) !== 0) return null
    if (header.shard !== this.#owner.shard || header.shardCount !== this.#owner.shardCount) return null
    const head = encodeSnapshotHeader(header).subarray(8)
    const content = bytes.subarray(SNAPSHOT_HEADER_SIZE_BYTES)
    if (crc32(content, crc32(head)) !== header.checksum) return null
    this.sizeBytes = bytes.length
    const { mark } = header
    const confirmedMark = this.#stored.has(position)
      ? Math.max(mark, header.confirmedMark)
      : header.confirmedMark
    return { position, mark, confirmedMark, state: new StateReader(content) }
  }

  #noteStored(position: number): void {
    if (this.#stored.has(position)) return
    this.#disk.rename(this.#name(position), `${baseName(position)}.stored`)
    this.#stored.add(position)
  }

  #delete(position: number): void {
    this.#disk.remove(this.#name(position))
    this.#stored.delete(position)
    this.positions.splice(this.positions.indexOf(position), 1)
  }

  #name(position: number): string {
    return `${baseName(position)}.${this.#stored.has(position) ? 'stored' : 'snapshot'}`
  }
}

function baseName(position: number): string {
  return String(position).padStart(16, '0')
}

/** Takes parts off the front, up to the size of a slice; the last one is cut. */
function takeSlice(parts: Uint8Array[]): Uint8Array[] {
  const slice: Uint8Array[] = []
  let room = SLICE_SIZE_BYTES_MAX
  while (parts.length > 0 && room > 0) {
    const [part] = parts
    if (part.length <= room) parts.shift()
    else parts[0] = part.subarray(room)
    slice.push(part.subarray(0, room))
    room -= Math.min(room, part.length)
  }
  return slice
}
