import { BlockList, SocketAddress } from 'node:net'
import { expect, test } from 'vitest'
import { formatIp, plainIp } from './ip-address.ts'
import { Prng } from './prng.ts'

/** The 16 bytes of 32 hexadecimal digits, behind a byte that is none of theirs. */
function format(hex: string): string {
  const bytes = Uint8Array.from([0xee, ...Buffer.from(hex, 'hex')])
  return formatIp(bytes, 1, bytes.length - 1)
}

test.each([
  ['c0000201', '192.0.2.1'],
  ['20010db8000000000000000000000001', '2001:db8::1'],
  ['20010db8000000010001000100010001', '2001:db8:0:1:1:1:1:1'],
  ['20010db8000000000001000000000001', '2001:db8::1:0:0:1'],
  ['00000000000000000000000000000000', '::'],
  ['00000000000000000000000000000001', '::1'],
  ['fe800000000000000000000000000000', 'fe80::'],
  ['00000000000000000000ffff7f000001', '127.0.0.1'],
])('%s is %s', (hex, text) => {
  expect(format(hex)).toBe(text)
})

test('the text stands for the bytes, by Node', () => {
  const prng = new Prng(7)
  for (let round = 0; round < 200; round++) {
    const groups = Array.from({ length: 8 }, () => (prng.unit() < 0.5 ? 0 : prng.between(0, 0xffff)))
    const full = groups.map((group) => group.toString(16).padStart(4, '0')).join(':')
    const list = new BlockList()
    list.addAddress(full, 'ipv6')
    const text = format(full.replaceAll(':', ''))
    const family = text.includes('.') ? 'ipv4' : 'ipv6'
    expect(list.check(new SocketAddress({ address: text, family })), `${full} as ${text}`).toBe(true)
  }
})

test('an IPv4 address that came by an IPv6 socket is an IPv4 address', () => {
  expect(['::ffff:10.0.0.7', '10.0.0.7', '::1', '::ffff:0:1'].map(plainIp)).toEqual([
    '10.0.0.7',
    '10.0.0.7',
    '::1',
    '::ffff:0:1',
  ])
})
