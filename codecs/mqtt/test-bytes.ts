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

/** A whole packet: first byte, length, body. */
export function packetOf(header: number, ...body: number[]): Uint8Array {
  const size = body.length
  const length = size < 128 ? [size] : [(size & 127) | 128, size >> 7]
  return Uint8Array.from([header, ...length, ...body])
}
