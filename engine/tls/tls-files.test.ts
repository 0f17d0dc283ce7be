import { execFileSync } from 'node:child_process'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { EngineError } from '../engine-error.ts'
import type { Fault } from '../fault-log.ts'
import { until } from '../gateway/socket-harness.ts'
import { type Pair, TestCertificates } from './test-certificates.ts'
import { loadTls } from './tls-files.ts'
import { TlsKeeper } from './tls-keeper.ts'
import type { TlsFiles, TlsMaterial } from './tls-material.ts'

let certificates: TestCertificates
let server: Pair

beforeAll(() => {
  certificates = new TestCertificates()
  server = certificates.server()
})

afterAll(() => certificates.remove())

test('good files become what a gateway needs, with ticket keys of their own each time', () => {
  const files = certificates.files(server, 'require')
  const [first, second] = [loadTls(files), loadTls(files)]
  expect(first.material).toMatchObject({
    certificate: readFileSync(server.certificate, 'utf8'),
    key: readFileSync(server.key, 'utf8'),
    clientAuthority: readFileSync(certificates.authority.certificate, 'utf8'),
    clientCertificate: 'require',
  })
  expect(Math.abs(first.expiresMs - Date.now() - 30 * 86_400_000)).toBeLessThan(600_000)
  expect(first.material.ticketKeys).not.toEqual(second.material.ticketKeys)
})

/** What is given instead of a good file, and what the one line says. */
const bad: [string, () => Partial<TlsFiles>, RegExp][] = [
  [
    'no certificate',
    () => ({ certificate: '/nowhere/a' }),
    /^--tls-cert \/nowhere\/a can't be read \(ENOENT\): name a PEM/,
  ],
  ['no key', () => ({ key: '/nowhere/b' }), /^--tls-key \/nowhere\/b can't be read \(ENOENT\): name a PEM/],
  ['a directory', () => ({ key: certificates.directory }), /can't be read \(EISDIR\)/],
  [
    'an empty certificate',
    () => ({ certificate: certificates.write('') }),
    /holds no certificate in PEM: it begins with/,
  ],
  [
    'the key as certificate',
    () => ({ certificate: server.key }),
    /^--tls-cert .* holds no certificate in PEM/,
  ],
  [
    'the certificate as key',
    () => ({ key: server.certificate }),
    /^--tls-key .* holds no private key in PEM: it begins/,
  ],
  [
    'a key with a passphrase',
    () => ({ key: lockedKey() }),
    /has a passphrase: take it off with openssl pkey -in/,
  ],
  [
    'the key of another',
    () => ({ key: certificates.server().key }),
    /is not the key of the certificate in .*: name two/,
  ],
  [
    'no authority',
    () => ({ clientAuthority: certificates.write('x') }),
    /^--tls-ca .* holds no certificate in PEM/,
  ],
]

function lockedKey(): string {
  const path = join(certificates.directory, 'locked.key')
  const options = ['-in', server.key, '-out', path, '-aes256', '-passout', 'pass:secret']
  execFileSync('openssl', ['pkey', ...options], { stdio: 'pipe' })
  return path
}

test.each(bad)('%s is refused in one line', (_, wrong, pattern) => {
  let message = ''
  try {
    loadTls({ ...certificates.files(server, 'require'), ...wrong() })
  } catch (error) {
    expect((error as EngineError).code).toBe('TLS_FILES')
    message = (error as EngineError).message
  }
  expect(message).toMatch(pattern)
  expect(message).not.toContain('\n')
})

describe('files that change', () => {
  let files: TlsFiles
  let keeper: TlsKeeper
  let renewed: TlsMaterial[]
  let faults: Fault[]

  function copy({ certificate, key }: Pair): void {
    copyFileSync(certificate, files.certificate)
    copyFileSync(key, files.key)
  }

  beforeAll(() => {
    renewed = []
    faults = []
    files = certificates.files({ certificate: certificates.write(''), key: certificates.write('') })
    copy(server)
    keeper = new TlsKeeper(files, {
      onRenewed: (material) => renewed.push(material),
      onFault: (fault) => faults.push(fault),
    })
  })

  afterAll(() => keeper.stop())

  test('are read again by themselves', async () => {
    const next = certificates.server()
    copy(next)
    await until(() => renewed.length > 0, 'a renewal')
    expect(renewed.at(-1)?.certificate).toBe(readFileSync(next.certificate, 'utf8'))
    expect(keeper.material).toBe(renewed.at(-1))
  })

  test('and are broken: that is said, and the ones before stay in use until good ones come', async () => {
    const before = keeper.material
    const count = renewed.length
    const good = readFileSync(files.certificate, 'utf8')
    writeFileSync(files.certificate, 'half a certif')
    await until(() => faults.some(({ isOver }) => !isOver), 'a fault')
    expect(faults.at(-1)?.message).toMatch(
      /holds no certificate in PEM.*; the certificate from before stays in use$/,
    )
    expect(keeper.material).toBe(before)
    writeFileSync(files.certificate, good)
    await until(() => renewed.length > count, 'a renewal')
    expect(faults.at(-1)).toMatchObject({ code: 'TLS_FILES', isOver: true })
  })

  test('are read at once when that is asked for', () => {
    const next = certificates.server()
    copy(next)
    keeper.reload()
    expect(renewed.at(-1)?.certificate).toBe(readFileSync(next.certificate, 'utf8'))
    writeFileSync(files.key, '')
    keeper.reload()
    expect(faults.at(-1)).toMatchObject({ code: 'TLS_FILES', isOver: false })
  })
})
