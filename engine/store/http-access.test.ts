/** Which names the store answers to, and which pages: what a web page of an attacker could make its own gets nothing. */
import { rmSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { isKnownHost, isKnownOrigin, parseHostNames } from './http-access.ts'
import { startStore } from './store.ts'
import { send, temporaryDirectory } from './store-fixture.ts'

const none = parseHostNames('')
const listed = parseHostNames(' db.example ,DB2.example,')

describe('hosts', () => {
  const own = ['localhost', 'LOCALHOST:8123', '127.0.0.1', '127.9.9.9:1', '[::1]:8123']
  const near = [
    'millrace',
    'millrace:8123',
    'ch_1',
    'db-2',
    '192.0.2.7',
    '192.0.2.7:8123',
    '[2001:db8::7]:8123',
  ]
  const never = [
    undefined,
    '',
    'evil.example',
    'evil.example:8123',
    'evil.',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'a@localhost',
    'millrace/x',
    'millrace:8123:1',
    'mill race',
    '[::1',
    `${'x'.repeat(64)}`,
  ]

  test.each([['0.0.0.0'], ['::'], ['192.0.2.1']])(
    'on %s: own names, addresses, names without a dot',
    (listen) => {
      for (const host of [...own, ...near, listen.includes(':') ? `[${listen}]` : listen])
        expect([host, isKnownHost(host, listen, none)]).toEqual([host, true])
      for (const host of never) expect([host, isKnownHost(host, listen, none)]).toEqual([host, false])
    },
  )

  test.each([['127.0.0.1'], ['localhost'], ['::1']])('on %s: own names only', (listen) => {
    for (const host of own) expect([host, isKnownHost(host, listen, none)]).toEqual([host, true])
    for (const host of [...near, ...never])
      expect([host, isKnownHost(host, listen, none)]).toEqual([host, false])
  })

  test('listed names everywhere, and only those', () => {
    for (const listen of ['127.0.0.1', '0.0.0.0']) {
      for (const host of ['db.example', 'DB.example:8123', 'db2.example'])
        expect([host, isKnownHost(host, listen, listed)]).toEqual([host, true])
      expect(isKnownHost('x.db.example', listen, listed)).toBe(false)
    }
  })

  test.each([['http://db.example'], ['db.example:8123'], ['*.example'], ['a b'], ['-'], ['db..example']])(
    'the list takes no %j',
    (list) => expect(() => parseHostNames(`ok,${list}`)).toThrow(/MILLRACE_STORE_HOSTS takes host names/),
  )
})

describe('pages', () => {
  const isKnown = (origin: string | undefined, host: string, names = none, more = {}) =>
    isKnownOrigin({ origin, host, ...more }, '0.0.0.0', names)

  test('those of the host that is asked, of this machine, and of listed names', () => {
    expect(isKnown(undefined, 'millrace:8123')).toBe(true)
    expect(isKnown('http://millrace:3000', 'millrace:8123')).toBe(true)
    expect(isKnown('https://192.0.2.7', '192.0.2.7:8123')).toBe(true)
    expect(isKnown('http://localhost:8080', 'millrace:8123')).toBe(true)
    expect(isKnown('https://db.example', 'millrace:8123', listed)).toBe(true)
  })

  test('no others, whatever they are served from', () => {
    const others = [
      'http://203.0.113.9',
      'http://intranet',
      'https://evil.example',
      'null',
      'file://',
      'http://',
    ]
    for (const origin of others) expect([origin, isKnown(origin, 'millrace:8123')]).toEqual([origin, false])
    expect(isKnown(undefined, 'millrace:8123', none, { 'sec-fetch-site': 'cross-site' })).toBe(false)
  })
})

test('a store that listens everywhere answers to the names of its network', async () => {
  const directory = temporaryDirectory()
  process.env.MILLRACE_STORE_HOSTS = 'db.example'
  const store = await startStore({ directory, listen: { host: '0.0.0.0', port: 0 } })
  delete process.env.MILLRACE_STORE_HOSTS
  const url = `http://127.0.0.1:${store.address?.port}/`
  const status = async (host: string) => (await send(url, 'SELECT 1', { Host: host })).status
  expect(await Promise.all(['millrace:8123', '192.0.2.1', 'db.example'].map(status))).toEqual([200, 200, 200])
  expect(await Promise.all(['evil.example', 'db2.example'].map(status))).toEqual([403, 403])
  await store.stop()
  rmSync(directory, { recursive: true })
})

test('a list of hosts with a mistake keeps the store from starting, in one line', async () => {
  const directory = temporaryDirectory()
  process.env.MILLRACE_STORE_HOSTS = 'http://db'
  const started = startStore({ directory, listen: null })
  await expect(started).rejects.toThrow(/^MILLRACE_STORE_HOSTS takes host names .*not "http:\/\/db"$/)
  delete process.env.MILLRACE_STORE_HOSTS
  rmSync(directory, { recursive: true })
})
