/**
 * Reads one shard's journal without opening it for writing, also while an engine appends to it: how many messages it
 * holds, and how many of them lie behind the last confirmed mark. Runs on a worker of the audit's pool. Invariant:
 * nothing in the directory is changed, and what is reported up to `messagesEnd` was intact when it was read.
 *
 * An engine gives up segments, and uses their files again, while they are being read: one whose name is gone is one
 * whose batches are all confirmed.
 */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { BatchFlag, decodeSegmentHeader, SEGMENT_HEADER_SIZE_BYTES } from '../../codecs/journal/batch.ts'
import { type Mark, readControl, readMark } from '../../codecs/journal/control.ts'
import { alignRecord, RecordKind, type RecordViews } from '../../codecs/journal/record.ts'
import { type BatchPlace, BatchReader } from '../journal/batch-reader.ts'
import { fileOffset, type Segment, segmentNumber } from '../journal/segment.ts'
import { ReadOnlyFile } from './read-only-file.ts'

export interface JournalDamage {
  segment: string
  /** Where in the segment's file, bytes. */
  offset: number
  sizeBytes: number
  /** It lies before the last confirmed mark: nothing is lost by it. */
  isConfirmed: boolean
}

export interface JournalFindings {
  shard: number
  segmentCount: number
  /** Of all intact batches. */
  sizeBytes: number
  messageCount: number
  /** Messages behind the last confirmed mark. */
  pendingCount: number
  /** Arrival of the oldest of them, ms since the epoch; null without one. */
  pendingOldestMs: number | null
  /** Journal position behind the last message: when two walks agree on it, nothing came between them. */
  messagesEnd: number
  /** The journal's own time: that of its last batch, ms; 0 without one. */
  timeMs: number
  /** All windows were closed into a confirmed batch, and nothing came since. */
  areWindowsClosed: boolean
  /** Times in which the engine was down, by the time they ended; the newest 1000. */
  gaps: { endMs: number; durationMs: number }[]
  damages: JournalDamage[]
  /** Files with damaged pieces that an engine has set aside. */
  setAside: string[]
}

const GAP_COUNT_MAX = 1000
const DAMAGE_COUNT_MAX = 1000

/** `onBatch` gets the size of each batch that was read. Throws what the file system throws. */
export function walkJournal(
  directory: string,
  shard: number,
  onBatch: (sizeBytes: number) => void = () => {},
): JournalFindings {
  return new JournalWalk(directory, shard, onBatch).run()
}

/** Visits the intact batches of a shard's journal, oldest first; `views` and `place` are good during the call. */
export function visitBatches(
  directory: string,
  visit: (views: RecordViews, place: BatchPlace) => void,
): void {
  new JournalWalk(directory, 0, () => {}).visit(visit)
}

interface FoundSegment {
  name: string
  number: number
  startPosition: number
}

class JournalWalk {
  #directory: string
  #onBatch: (sizeBytes: number) => void
  #reader = new BatchReader()
  #segments: FoundSegment[] = []
  /** Marks that are not confirmed as far as was read. */
  #openMarks = new Map<number, Mark>()
  #confirmedPosition = 0
  #flushedPosition = -1
  #damages: { segment: string; offset: number; start: number; end: number }[] = []
  #findings: JournalFindings

  constructor(directory: string, shard: number, onBatch: (sizeBytes: number) => void) {
    this.#directory = directory
    this.#onBatch = onBatch
    this.#findings = {
      shard,
      segmentCount: 0,
      sizeBytes: 0,
      messageCount: 0,
      pendingCount: 0,
      pendingOldestMs: null,
      messagesEnd: 0,
      timeMs: 0,
      areWindowsClosed: false,
      gaps: [],
      damages: [],
      setAside: [],
    }
  }

  run(): JournalFindings {
    const found = this.#findings
    this.#listSegments()
    const [first] = this.#segments
    if (first !== undefined) {
      this.#confirmedPosition = first.startPosition
      this.#walk(first.startPosition, (place) => this.#take(place))
      // Marks stand behind what they end, so only now it is known where the pending messages begin.
      this.#walk(this.#confirmedPosition, (place) => this.#countPending(place))
    }
    found.segmentCount = this.#segments.length
    found.areWindowsClosed = found.timeMs === 0 || this.#flushedPosition >= found.messagesEnd
    found.damages = this.#damages.map(({ segment, offset, start, end }) => ({
      segment,
      offset,
      sizeBytes: end - start,
      isConfirmed: end <= this.#confirmedPosition,
    }))
    return found
  }

  visit(visit: (views: RecordViews, place: BatchPlace) => void): void {
    this.#listSegments()
    const [first] = this.#segments
    if (first !== undefined) this.#walk(first.startPosition, (place) => visit(this.#reader.views, place))
  }

  #listSegments(): void {
    if (!existsSync(this.#directory)) return // an engine that just starts has not made it yet
    const names = readdirSync(this.#directory).sort()
    this.#findings.setAside = names.filter((name) => name.endsWith('.damaged'))
    for (const name of names) {
      const number = segmentNumber(name)
      if (number === 0) continue
      const file = this.#open(name)
      if (file === null) {
        this.#segments.length = 0 // given up meanwhile, and with it all before it
        continue
      }
      const bytes = new Uint8Array(SEGMENT_HEADER_SIZE_BYTES)
      file.read(bytes, 0)
      file.close()
      const header = decodeSegmentHeader(bytes)
      // One without a header has just been begun, or a crash kept it from beginning; engines refuse others.
      if (header === null || header.number !== number) continue
      this.#segments.push({ name, number, startPosition: header.startPosition })
    }
  }

  #open(name: string): ReadOnlyFile | null {
    try {
      return new ReadOnlyFile(join(this.#directory, name))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw error
    }
  }

  /** Visits the intact batches from the segment on that holds `position`. */
  #walk(position: number, visit: (place: BatchPlace) => void): void {
    this.#segments.forEach((found, index) => {
      const limit = this.#segments[index + 1]?.startPosition ?? null
      if (limit !== null && limit <= position) return
      const file = this.#open(found.name)
      if (file === null) {
        if (limit !== null) this.#confirmTo(limit)
        return
      }
      try {
        const { name, number, startPosition } = found
        this.#walkSegment(
          { name, number, file, startPosition, endPosition: startPosition, allocatedEnd: startPosition },
          limit,
          visit,
        )
      } finally {
        file.close()
      }
    })
  }

  /** Visits to `limit`, where the next segment begins, or as far as batches are intact. */
  #walkSegment(segment: Segment, limit: number | null, visit: (place: BatchPlace) => void): void {
    while (limit === null || segment.endPosition < limit) {
      const place = this.#reader.read(segment, segment.endPosition) ?? this.#behindDamage(segment, limit)
      if (place === null) return
      visit(place)
      segment.endPosition = place.endPosition
      this.#onBatch(place.header.sizeBytes)
    }
  }

  /** The next intact batch behind what can't be read; null when the journal, or what is left of the segment, ends. */
  #behindDamage(segment: Segment, limit: number | null): BatchPlace | null {
    const start = segment.endPosition
    const behind = this.#reader.findBehind(segment, start)
    const end = behind === null ? limit : Math.min(behind.header.position, limit ?? Number.POSITIVE_INFINITY)
    if (end === null) return null
    if (!existsSync(join(this.#directory, segment.name))) {
      this.#confirmTo(limit ?? start)
      return null
    }
    const now = this.#reader.read(segment, start) // an engine may just have written it
    if (now !== null) return now
    if (this.#damages.length < DAMAGE_COUNT_MAX && !this.#damages.some((damage) => damage.start === start))
      this.#damages.push({ segment: segment.name, offset: fileOffset(segment, start), start, end })
    return end === limit ? null : this.#reader.read(segment, end)
  }

  #take(place: BatchPlace): void {
    const found = this.#findings
    const { views } = this.#reader
    found.sizeBytes += place.header.sizeBytes
    found.timeMs = place.header.timeMs
    let count = 0
    let last = 0
    for (let offset = place.recordsStart; offset < place.recordsEnd; ) {
      if (isMessage(views, offset)) {
        count++
        last = offset
      }
      offset += alignRecord(views.u32[offset >>> 2])
    }
    if (count > 0) {
      found.messageCount += count
      found.messagesEnd = place.header.position + last + alignRecord(views.u32[last >>> 2])
    }
    if ((place.header.flags & BatchFlag.HAS_CONTROL) !== 0) this.#takeControl(place)
  }

  #takeControl(place: BatchPlace): void {
    const { views } = this.#reader
    const { gaps } = this.#findings
    for (let offset = place.recordsStart; offset < place.recordsEnd; ) {
      const kind = views.bytes[offset + 4]
      if (kind === RecordKind.MARK) {
        const mark = readMark(views, offset)
        this.#openMarks.set(mark.number, mark)
      } else if (kind === RecordKind.CONFIRMATION) this.#confirm(readControl(views, offset))
      else if (kind === RecordKind.GAP) {
        gaps.push({ endMs: place.header.timeMs, durationMs: readControl(views, offset) })
        if (gaps.length > GAP_COUNT_MAX) gaps.shift()
      }
      offset += alignRecord(views.u32[offset >>> 2])
    }
  }

  #confirm(number: number): void {
    const mark = this.#openMarks.get(number)
    if (mark === undefined) return // it stood in a segment that is gone
    this.#openMarks.delete(number)
    this.#confirmTo(mark.position)
    if (mark.isFlush) this.#flushedPosition = Math.max(this.#flushedPosition, mark.position)
  }

  #confirmTo(position: number): void {
    this.#confirmedPosition = Math.max(this.#confirmedPosition, position)
  }

  #countPending(place: BatchPlace): void {
    const found = this.#findings
    const { views } = this.#reader
    for (let offset = place.recordsStart; offset < place.recordsEnd; ) {
      const position = place.header.position + offset
      if (position >= this.#confirmedPosition && position < found.messagesEnd && isMessage(views, offset)) {
        found.pendingCount++
        const arrivalMs = views.f64[(offset >>> 3) + 1]
        found.pendingOldestMs = Math.min(found.pendingOldestMs ?? arrivalMs, arrivalMs)
      }
      offset += alignRecord(views.u32[offset >>> 2])
    }
  }
}

function isMessage(views: RecordViews, offset: number): boolean {
  const kind = views.bytes[offset + 4]
  return kind === RecordKind.MQTT_PUBLISH || kind === RecordKind.WEBSOCKET_FRAME
}
