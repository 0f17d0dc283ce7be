/**
 * The header of the PROXY protocol, version 2 (haproxy.org, doc/proxy-protocol.txt, section 2.2), which a load
 * balancer sends before the client's first byte. By offsets; what comes behind it is not looked at.
 */
import { formatIp } from '../../base/ip-address.ts'

const SIGNATURE = Uint8Array.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a])
const COMMAND_OFFSET = 12
const FAMILY_OFFSET = 13
const LENGTH_OFFSET = 14
const FIXED_SIZE_BYTES = 16
const VERSION_2_LOCAL = 0x20
const VERSION_2_PROXY = 0x21
const STREAM = 1
const TLV_HEADER_SIZE_BYTES = 3

/** By the family in the upper half of a byte: the size of one address, and of the whole block of addresses. */
const FAMILIES: Readonly<Record<number, { addressSize: number; blockSize: number }>> = {
  1: { addressSize: 4, blockSize: 12 },
  2: { addressSize: 16, blockSize: 36 },
}
const FAMILY_UNIX = 3
const UNIX_BLOCK_SIZE_BYTES = 216

/** A header may have this size, TLVs included. */
export const PROXY_HEADER_SIZE_BYTES_MAX = 4096

export class ProxyHeader {
  /** Where the client is; null when the proxy speaks for itself (LOCAL), or tells of no IP address. */
  address: string | null = null
}

/** Reads the header at `start` into `out`. Returns its size in bytes, 0 when there is more to come, -1 when it is none. */
export function readProxyHeader(bytes: Uint8Array, start: number, end: number, out: ProxyHeader): number {
  const size = end - start
  for (let i = 0; i < Math.min(size, SIGNATURE.length); i++) if (bytes[start + i] !== SIGNATURE[i]) return -1
  if (size < FIXED_SIZE_BYTES) return 0
  const command = bytes[start + COMMAND_OFFSET]
  if (command !== VERSION_2_LOCAL && command !== VERSION_2_PROXY) return -1
  const family = bytes[start + FAMILY_OFFSET] >> 4
  const protocol = bytes[start + FAMILY_OFFSET] & 0x0f
  const bodySize = (bytes[start + LENGTH_OFFSET] << 8) | bytes[start + LENGTH_OFFSET + 1]
  const headerSize = FIXED_SIZE_BYTES + bodySize
  if (headerSize > PROXY_HEADER_SIZE_BYTES_MAX) return -1
  if (size < headerSize) return 0
  out.address = null
  if (command === VERSION_2_LOCAL) return headerSize // what it says besides is to be ignored
  const bodyStart = start + FIXED_SIZE_BYTES
  const blockSize = family === FAMILY_UNIX ? UNIX_BLOCK_SIZE_BYTES : (FAMILIES[family]?.blockSize ?? 0)
  if (family > FAMILY_UNIX || bodySize < blockSize) return -1
  if (family !== 0 && !areTlvsWhole(bytes, bodyStart + blockSize, bodyStart + bodySize)) return -1
  if (family in FAMILIES) {
    if (protocol !== STREAM) return -1
    out.address = formatIp(bytes, bodyStart, FAMILIES[family].addressSize)
  }
  return headerSize
}

function areTlvsWhole(bytes: Uint8Array, start: number, end: number): boolean {
  let offset = start
  while (offset < end) {
    if (end - offset < TLV_HEADER_SIZE_BYTES) return false
    offset += TLV_HEADER_SIZE_BYTES + ((bytes[offset + 1] << 8) | bytes[offset + 2])
  }
  return offset === end
}
