/** IP addresses as text, one way to write each: IPv6 as RFC 5952 has it, IPv4 within IPv6 as IPv4. */

const MAPPED_PREFIX = '::ffff:'

/** Of 4 or 16 bytes, in the network's order. */
export function formatIp(bytes: Uint8Array, start: number, size: number): string {
  if (size === 4) return bytes.subarray(start, start + 4).join('.')
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[start + 2 * i] << 8) | bytes[start + 2 * i + 1])
  if (groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0)) {
    return bytes.subarray(start + 12, start + 16).join('.')
  }
  const zeros = longestZeros(groups)
  const text = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':')
  return zeros.count < 2 ? text(0, 8) : `${text(0, zeros.start)}::${text(zeros.start + zeros.count, 8)}`
}

/** An address as Node tells it of a socket. */
export function plainIp(text: string): string {
  return text.startsWith(MAPPED_PREFIX) && text.includes('.') ? text.slice(MAPPED_PREFIX.length) : text
}

/** The first of the longest runs of groups that are 0. */
function longestZeros(groups: readonly number[]): { start: number; count: number } {
  let best = { start: 0, count: 0 }
  for (let start = 0; start < groups.length; start++) {
    let end = start
    while (end < groups.length && groups[end] === 0) end++
    if (end - start > best.count) best = { start, count: end - start }
    start = Math.max(start, end - 1)
  }
  return best
}
