/**
 * Hash of a byte range with a fixed seed: MurmurHash3 x86 32 bit (Austin Appleby, public domain). It decides which shard
 * owns a device, so the function is part of the data directory's format: change it only with a new version there.
 * Returns an unsigned 32-bit integer.
 */
// hot: per message
export function hashBytes(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x4d696c6c
  let offset = start
  for (const last = end - 3; offset < last; offset += 4) {
    const word =
      bytes[offset] | (bytes[offset + 1] << 8) | (bytes[offset + 2] << 16) | (bytes[offset + 3] << 24)
    let mixed = Math.imul(word, 0xcc9e2d51)
    mixed = (mixed << 15) | (mixed >>> 17)
    hash ^= Math.imul(mixed, 0x1b873593)
    hash = (hash << 13) | (hash >>> 19)
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0
  }
  if (offset < end) {
    let tail = 0
    for (let shift = 0; offset < end; offset++, shift += 8) tail |= bytes[offset] << shift
    tail = Math.imul(tail, 0xcc9e2d51)
    tail = (tail << 15) | (tail >>> 17)
    hash ^= Math.imul(tail, 0x1b873593)
  }
  hash ^= end - start
  hash ^= hash >>> 16
  hash = Math.imul(hash, 0x85ebca6b)
  hash ^= hash >>> 13
  hash = Math.imul(hash, 0xc2b2ae35)
  hash ^= hash >>> 16
  return hash >>> 0
}
