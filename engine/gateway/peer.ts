/** Who is at the other end of a connection, as far as the transport tells. Owner: the gateway's thread. */
import type { X509Certificate } from 'node:crypto'

/** What a client's certificate says, after the handshake has verified it. */
export interface PeerIdentity {
  /** SHA-256 of the whole certificate, 64 hexadecimal digits in lower case. */
  fingerprint: string
  /** The subject's common names, then its alternative names (DNS, e-mail, URI), each once. */
  names: string[]
}

export interface Peer {
  /** Of the client, also behind a trusted proxy: an IPv4 or IPv6 address. */
  address: string
  /** Null without TLS, and for a client that showed no certificate. */
  identity: PeerIdentity | null
}

export function identityOf(certificate: X509Certificate): PeerIdentity {
  const names = [...commonNames(certificate.subject), ...alternativeNames(certificate.subjectAltName ?? '')]
  return {
    fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    names: [...new Set(names)],
  }
}

/** Of a subject as X509Certificate prints it, an attribute a line; what RFC 2253 escapes is escaped there. */
function commonNames(subject: string | undefined): string[] {
  const lines = (subject ?? '').split('\n').filter((line) => line.startsWith('CN='))
  return lines.map((line) => unescapeName(line.slice('CN='.length))).filter((name) => name !== '')
}

/** `\,` and the like are characters, `\C3\BC` are bytes of UTF-8. */
function unescapeName(text: string): string {
  const bytes = text.replace(/(?:\\[0-9A-F]{2})+/g, (run) =>
    Buffer.from(run.replaceAll('\\', ''), 'hex').toString(),
  )
  return bytes.replace(/\\(.)/g, '$1')
}

/** `DNS:pump-7, URI:urn:device:7`; a name with a comma or a quote in it comes as a JSON string. */
function alternativeNames(text: string): string[] {
  const names: string[] = []
  for (const [, kind, value] of text.matchAll(/([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/g)) {
    if (kind !== 'DNS' && kind !== 'email' && kind !== 'URI') continue
    names.push(value.startsWith('"') ? String(JSON.parse(value)) : value)
  }
  return names
}
