import { describe, expect, test } from 'vitest'
import { Prng } from '../../base/prng.ts'
import { PROXY_HEADER_SIZE_BYTES_MAX, ProxyHeader, readProxyHeader } from './proxy-header.ts'

const SIGNATURE = '0d0a0d0a000d0a515549540a'
const IPV4 = `${SIGNATURE} 21 11 000c c0000207 c6336401 d431 075b`
const IPV6 = `${SIGNATURE} 21 21 0024 20010db8000000000000000000000007 20010db8000000000000000000000001 d431 075b`
/** As HAProxy sends it with `send-proxy-v2-ssl crc32c`: ALPN, a checksum, a unique id, NOOP. */
const TLVS = '01 0004 6d717474 03 0004 0a0b0c0d 05 0003 616263 04 0000'
const WITH_TLVS = `${SIGNATURE} 21 11 0023 c0000207 c6336401 d431 075b ${TLVS}`
const LOCAL = `${SIGNATURE} 20 00 0000`
const LOCAL_WITH_MORE = `${SIGNATURE} 20 11 0005 0102030405`
const UNIX = `${SIGNATURE} 21 31 00d8 ${'2f'.repeat(216)}`
const UNSPECIFIED = `${SIGNATURE} 21 00 0003 010203`

const good: [string, string, string | null][] = [
  ['IPv4', IPV4, '192.0.2.7'],
  ['IPv6', IPV6, '2001:db8::7'],
  ['TLVs', WITH_TLVS, '192.0.2.7'],
  ['LOCAL', LOCAL, null],
  ['LOCAL with an address to ignore', LOCAL_WITH_MORE, null],
  ['a Unix socket', UNIX, null],
  ['an unspecified family', UNSPECIFIED, null],
]

const bad: [string, string][] = [
  ['version 1', Buffer.from('PROXY TCP4 192.0.2.7 198.51.100.1 54321 1883\r\n').toString('hex')],
  ['a CONNECT', '100c00044d5154540402003c0000'],
  ['another version', IPV4.replace(' 21 ', ' 31 ')],
  ['another command', IPV4.replace(' 21 ', ' 22 ')],
  ['a family to come', IPV4.replace(' 11 ', ' 41 ')],
  ['datagrams', IPV4.replace(' 11 ', ' 12 ')],
  ['a short block of addresses', IPV4.replace(' 11 ', ' 21 ')],
  ['a TLV that ends behind the header', WITH_TLVS.replace('05 0003', '05 0009')],
  ['half a TLV', `${SIGNATURE} 21 11 000e c0000207 c6336401 d431 075b 0100`],
  ['a length beyond all measure', IPV4.replace(' 000c ', ' ffff ')],
]

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
}

/** Reads bytes[0, size) with others around them that must not matter. */
function read(bytes: Uint8Array, size: number): { consumed: number; address: string | null } {
  const surrounded = new Uint8Array(size + 32).fill(0x0d)
  surrounded.set(bytes.subarray(0, size), 16)
  const out = new ProxyHeader()
  out.address = 'untouched'
  return { consumed: readProxyHeader(surrounded, 16, 16 + size, out), address: out.address }
}

describe('a header', () => {
  test.each(good)('%s, byte by byte and with MQTT behind it', (_, hex, address) => {
    const bytes = bytesOf(hex)
    for (let size = 0; size < bytes.length; size++)
      expect(read(bytes, size).consumed, `${size} bytes`).toBe(0)
    expect(read(bytes, bytes.length)).toEqual({ consumed: bytes.length, address })
    const followed = Uint8Array.from([...bytes, 0x10, 0x0c])
    expect(read(followed, followed.length)).toEqual({ consumed: bytes.length, address })
  })

  test.each(bad)('%s is refused', (_, hex) => {
    const bytes = bytesOf(hex)
    expect(read(bytes, bytes.length).consumed).toBe(-1)
  })
})

test('changed headers: refused, waited for, or read; never beyond their end', () => {
  const prng = new Prng(Number(process.env.SEED ?? 11))
  const tally = { refused: 0, waiting: 0, read: 0 }
  for (let round = 0; round < 20_000; round++) {
    const bytes = bytesOf(good[prng.between(0, good.length - 1)][1])
    const from = prng.unit() < 0.9 ? 12 : 0 // most changes behind the signature
    for (let count = prng.between(1, 3); count > 0; count--)
      bytes[prng.between(from, bytes.length - 1)] = prng.between(0, 255)
    const { consumed } = read(bytes, bytes.length)
    expect(consumed).toBeLessThanOrEqual(Math.min(bytes.length, PROXY_HEADER_SIZE_BYTES_MAX))
    tally[consumed < 0 ? 'refused' : consumed === 0 ? 'waiting' : 'read']++
  }
  for (const count of Object.values(tally)) expect(count).toBeGreaterThan(500)
})
