/** For tests: certificates that openssl makes in a new directory, with an authority of their own. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ClientCertificate, TlsFiles } from './tls-material.ts'

/** Two PEM files that belong together. */
export interface Pair {
  certificate: string
  key: string
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
const SERVER_NAMES = 'subjectAltName=DNS:localhost,IP:127.0.0.1'

export class TestCertificates {
  readonly directory = mkdtempSync(join(tmpdir(), 'millrace-tls-'))
  /** Signs what `issue` makes. */
  readonly authority: Pair
  #count = 0

  constructor(name = 'Test authority') {
    this.authority = this.#pair()
    this.#make(this.authority, ['-subj', `/CN=${name}`, '-addext', 'keyUsage=critical,keyCertSign'])
  }

  server(): Pair {
    return this.issue('/CN=localhost', SERVER_NAMES)
  }

  /** A certificate for a subject (`/CN=pump-7`) with an extension; openssl takes either as its command line does. */
  issue(subject: string, extension = 'keyUsage=digitalSignature'): Pair {
    const pair = this.#pair()
    const { certificate, key } = this.authority
    const signed = ['-CA', certificate, '-CAkey', key, '-days', '30']
    this.#make(pair, ['-utf8', '-subj', subject, '-addext', extension, ...signed])
    return pair
  }

  /** A file with these contents. */
  write(text: string): string {
    const path = join(this.directory, `file-${++this.#count}.pem`)
    writeFileSync(path, text)
    return path
  }

  files({ certificate, key }: Pair, clientCertificate: ClientCertificate = 'none'): TlsFiles {
    const clientAuthority = clientCertificate === 'none' ? null : this.authority.certificate
    return { certificate, key, clientAuthority, clientCertificate }
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true })
  }

  #pair(): Pair {
    const stem = join(this.directory, `pair-${++this.#count}`)
    return { certificate: `${stem}.crt`, key: `${stem}.key` }
  }

  #make({ certificate, key }: Pair, options: string[]): void {
    const out = ['-keyout', key, '-out', certificate]
    execFileSync('openssl', ['req', '-x509', ...NEW_KEY, ...out, ...options], { stdio: 'pipe' })
  }
}
