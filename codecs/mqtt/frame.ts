/**
 * Cuts whole packets out of a stream of bytes by offsets, without copying any. Owner: the gateway's thread.
 * Invariant: a frame lies wholly inside the bytes given, and frames follow each other without a gap.
 */
import { ReasonCode } from './packet.ts'
import { readVarint, VARINT_INCOMPLETE, varintSize } from './varint.ts'

/** The packets that one call of `cutFrames` found. Reused from call to call. */
export class Frames {
  count = 0
  /** First byte of each packet: type and flags, not checked. */
  readonly header: Uint8Array
  /** Where the packet's body (variable header and payload) starts and ends. */
  readonly bodyStart: Int32Array
  readonly bodyEnd: Int32Array
  /** 0, or why the packet at the returned offset can never be taken: MALFORMED_PACKET or PACKET_TOO_LARGE. */
  fault = 0
  /**
   * Size in bytes of the whole packet at the returned offset, when it is incomplete and its fixed header is
   * known; else 0.
   */
  needed = 0

  constructor(capacity: number) {
    this.header = new Uint8Array(capacity)
    this.bodyStart = new Int32Array(capacity)
    this.bodyEnd = new Int32Array(capacity)
  }

  get capacity(): number {
    return this.header.length
  }
}

/**
 * Cuts whole packets of bytes[offset, end) into `frames` and returns the offset of the first byte not
 * consumed. Stops at the capacity of `frames` (then `count` equals it and there may be more), at a fault, or
 * at an incomplete packet. A packet may have `sizeMax` bytes, its fixed header included; one that is too
 * large is refused before it has arrived.
 */
// hot: per message
export function cutFrames(
  bytes: Uint8Array,
  offset: number,
  end: number,
  sizeMax: number,
  frames: Frames,
): number {
  const { header, bodyStart, bodyEnd } = frames
  const capacity = header.length
  let count = 0
  let fault = 0
  let needed = 0
  while (count < capacity && end - offset >= 2) {
    let bodySize = bytes[offset + 1]
    let start = offset + 2
    if (bodySize >= 0x80) {
      bodySize = readVarint(bytes, offset + 1, end)
      if (bodySize < 0) {
        if (bodySize !== VARINT_INCOMPLETE) fault = ReasonCode.MALFORMED_PACKET
        break
      }
      start = offset + 1 + varintSize(bodySize)
    }
    const next = start + bodySize
    if (next - offset > sizeMax) {
      fault = ReasonCode.PACKET_TOO_LARGE
      break
    }
    if (next > end) {
      needed = next - offset
      break
    }
    header[count] = bytes[offset]
    bodyStart[count] = start
    bodyEnd[count] = next
    count++
    offset = next
  }
  frames.count = count
  frames.fault = fault
  frames.needed = needed
  return offset
}
