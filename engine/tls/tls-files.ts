/** Reads the files of `--tls-cert`, `--tls-key` and `--tls-ca`, and says what is wrong with them in one line. */
import { createPrivateKey, type KeyObject, randomBytes, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { EngineError } from '../engine-error.ts'
import { secureContextOptions, type TlsFiles, type TlsMaterial } from './tls-material.ts'

const TICKET_KEYS_SIZE_BYTES = 48

export interface LoadedTls {
  material: TlsMaterial
  /** When the server's certificate expires, ms since the epoch. */
  expiresMs: number
}

/** Throws EngineError. */
export function loadTls(files: TlsFiles): LoadedTls {
  const certificate = readFile('--tls-cert', files.certificate)
  const key = readFile('--tls-key', files.key)
  const authorityFile = files.clientAuthority
  const clientAuthority = authorityFile === null ? null : readFile('--tls-ca', authorityFile)
  const server = firstCertificate('--tls-cert', files.certificate, certificate)
  if (!server.checkPrivateKey(privateKey(files.key, key))) {
    const about = `--tls-key ${files.key} is not the key of the certificate in ${files.certificate}`
    throw refusal(`${about}: name two files that belong together`)
  }
  if (authorityFile !== null) firstCertificate('--tls-ca', authorityFile, clientAuthority ?? '')
  const material: TlsMaterial = {
    files,
    certificate,
    key,
    clientAuthority,
    clientCertificate: files.clientCertificate,
    ticketKeys: new Uint8Array(randomBytes(TICKET_KEYS_SIZE_BYTES)),
  }
  try {
    createSecureContext(secureContextOptions(material))
  } catch (error) {
    const reason = (error as Error).message
    throw refusal(
      `OpenSSL takes none of ${files.certificate} and ${files.key} (${reason}): make new ones`,
      error,
    )
  }
  return { material, expiresMs: Date.parse(server.validTo) }
}

function readFile(option: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw refusal(`${option} ${path} can't be read (${code}): name a PEM file that this user may read`, error)
  }
}

function firstCertificate(option: string, path: string, pem: string): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch (error) {
    throw refusal(
      `${option} ${path} holds no certificate in PEM: it begins with -----BEGIN CERTIFICATE-----`,
      error,
    )
  }
}

function privateKey(path: string, pem: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ERR_MISSING_PASSPHRASE' || pem.includes('ENCRYPTED')) {
      throw refusal(
        `--tls-key ${path} has a passphrase: take it off with openssl pkey -in ${path} -out FILE`,
        error,
      )
    }
    throw refusal(
      `--tls-key ${path} holds no private key in PEM: it begins with -----BEGIN PRIVATE KEY-----`,
      error,
    )
  }
}

function refusal(message: string, cause?: unknown): EngineError {
  return new EngineError('TLS_FILES', message, cause)
}
