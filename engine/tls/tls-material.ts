/** What TLS doors work with, as it goes from the main thread, which reads the files, to the gateways. */
import type { SecureContextOptions } from 'node:tls'

/** Whether clients are asked for a certificate, and whether they must have one. */
export type ClientCertificate = 'none' | 'request' | 'require'

export interface TlsFiles {
  /** PEM: the server's certificate, then those of its issuers. */
  certificate: string
  key: string
  /** Whose certificates clients may have. Null when none are asked for. */
  clientAuthority: string | null
  clientCertificate: ClientCertificate
}

export interface TlsMaterial {
  files: TlsFiles
  certificate: string
  key: string
  clientAuthority: string | null
  clientCertificate: ClientCertificate
  /**
   * Shared by all gateways, so that a client resumes its session with any of them. New ones with every load:
   * sessions from before another authority was named are not resumed.
   */
  ticketKeys: Uint8Array
}

export function secureContextOptions(material: TlsMaterial): SecureContextOptions {
  return {
    cert: material.certificate,
    key: material.key,
    ca: material.clientAuthority ?? undefined,
    ticketKeys: Buffer.from(material.ticketKeys),
    minVersion: 'TLSv1.2',
  }
}
