/** For fuzzing: packets that are almost right, which is where readers go wrong. */
import type { Prng } from '../../base/prng.ts'

const INTERESTING = [0, 1, 2, 3, 0x7f, 0x80, 0xff, 0xc0, 0xed, 0x26, 0x23, 0x2b]
const CHANGES_MAX = 3
const COPY_SIZE_BYTES_MAX = 8
/** A header of two bytes to three: bodies up to 16,383 bytes. */
const HEADER_SIZE_BYTES_MAX = 3

/**
 * A few random changes of the packet's body; then the length is made right, most of the time. A packet has at
 * most 16,000 bytes.
 */
export function mutatePacket(packet: Uint8Array, prng: Prng): Uint8Array {
  const bodyStart = packet[1] < 0x80 ? 2 : packet[2] < 0x80 ? 3 : 4
  const out = new Uint8Array(
    HEADER_SIZE_BYTES_MAX + packet.length - bodyStart + CHANGES_MAX * COPY_SIZE_BYTES_MAX,
  )
  const body = out.subarray(HEADER_SIZE_BYTES_MAX)
  body.set(packet.subarray(bodyStart))
  let size = packet.length - bodyStart
  for (let changes = prng.between(0, CHANGES_MAX); changes > 0; changes--) size = change(body, size, prng)
  const header = prng.unit() < 0.1 ? prng.between(0, 255) : packet[0]
  const isLengthWrong = prng.unit() < 0.1
  const length = isLengthWrong ? prng.between(0, 127) : size
  const start = length < 0x80 ? 1 : 0
  out[start] = header
  out[start + 1] = start === 1 ? length : (length & 0x7f) | 0x80
  if (start === 0) out[2] = length >> 7
  return out.subarray(start, HEADER_SIZE_BYTES_MAX + size)
}

/** One change of body[0, size); returns the new size. */
function change(body: Uint8Array, size: number, prng: Prng): number {
  const at = prng.between(0, size)
  const byte = prng.unit() < 0.5 ? prng.between(0, 255) : INTERESTING[prng.between(0, INTERESTING.length - 1)]
  const kind = prng.between(0, 4)
  if (kind === 0 && at < size) {
    body.copyWithin(at, at + 1, size)
    return size - 1
  }
  if (kind === 1) {
    body.copyWithin(at + 1, at, size)
    body[at] = byte
    return size + 1
  }
  if (kind === 2) return at
  if (kind === 3) {
    const count = Math.min(prng.between(1, COPY_SIZE_BYTES_MAX), size - at)
    body.copyWithin(at + count, at, size) // which leaves the first ones where they were
    return size + count
  }
  if (size > 0) body[Math.min(at, size - 1)] = byte
  return size
}
