/**
 * What an accepted socket goes through before it brings MQTT over TLS: the handshake, and the check of the
 * client's certificate. Owner: the gateway's thread. It is a `tls.Server` that listens nowhere and is handed
 * its sockets, so that a reload is `setSecureContext` and leaves open connections alone.
 */
import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { secureContextOptions, type TlsMaterial } from '../tls/tls-material.ts'
import { type CloseReason, CloseReasons } from './close-reason.ts'
import { identityOf, type PeerIdentity } from './peer.ts'

export interface TlsOutcome {
  secured(socket: TLSSocket, identity: PeerIdentity | null): void
  failed(reason: CloseReason): void
}

export class TlsStage {
  #server: Server
  #isCertificateRequired: boolean
  #pending = new Map<Socket, TlsOutcome>()

  constructor(material: TlsMaterial) {
    this.#isCertificateRequired = material.clientCertificate === 'require'
    this.#server = createServer({
      ...secureContextOptions(material),
      requestCert: material.clientCertificate !== 'none',
      // Judged below: OpenSSL's own refusal would leave no reason to count.
      rejectUnauthorized: false,
    })
    this.#server.on('secureConnection', (socket) => this.#judge(socket))
    this.#server.on('tlsClientError', (_, socket) => this.#take(socket)?.failed(CloseReasons.tlsHandshake))
  }

  renew(material: TlsMaterial): void {
    this.#server.setSecureContext(secureContextOptions(material))
  }

  /** `outcome` hears once how it went. */
  start(accepted: Socket, outcome: TlsOutcome): void {
    this.#pending.set(accepted, outcome)
    this.#server.emit('connection', accepted)
  }

  #judge(socket: TLSSocket): void {
    const outcome = this.#take(socket)
    const certificate = socket.getPeerX509Certificate()
    const isTrusted = certificate === undefined ? !this.#isCertificateRequired : socket.authorized
    if (outcome !== undefined && isTrusted) {
      outcome.secured(socket, certificate === undefined ? null : identityOf(certificate))
      return
    }
    socket.destroy()
    const { certificateMissing, certificateRefused } = CloseReasons
    outcome?.failed(certificate === undefined ? certificateMissing : certificateRefused)
  }

  /**
   * `_parent` is the socket that the handshake was started with. It is undocumented, but nothing else leads
   * back to it; without it no connection would be taken, as tests would tell.
   */
  #take(socket: TLSSocket): TlsOutcome | undefined {
    const accepted = (socket as TLSSocket & { _parent: Socket })._parent
    const outcome = this.#pending.get(accepted)
    this.#pending.delete(accepted)
    return outcome
  }
}
