/** For tests: packets put together by hand, field by field. */

/** A string or bytes with the length before them. */
export function field(content: string | number[]): number[] {
  const bytes = typeof content === 'string' ? [...Buffer.from(content)] : content
  return [bytes.length >> 8, bytes.length & 255, ...bytes]
}

/** Properties with the length before them; at most 127 bytes. */
export function properties(...bytes: number[]): number[] {
  return [bytes.length, ...bytes]
}
