/**
 * The uWebSockets.js apps behind a WebSocket door. An app's certificate is its own for life, so new files mean
 * a new app that listens beside the old one; apps share a port by themselves. The old one then takes no more
 * connections, and stays for those it has. Owner: the gateway's thread.
 */
import uWS from 'uWebSockets.js'
import { assert } from '../../base/assert.ts'
import type { Address } from '../address.ts'
import type { TlsMaterial } from '../tls/tls-material.ts'

interface Listener {
  app: uWS.TemplatedApp
  /** Null once it takes no more connections. */
  socket: uWS.us_listen_socket | null
}

export class WebSocketApps {
  #route: (app: uWS.TemplatedApp) => void
  #tls: TlsMaterial | null
  #address: Address | null = null
  /** The last one listens. */
  #listeners: Listener[] = []
  #isClosed = false

  constructor(tls: TlsMaterial | null, route: (app: uWS.TemplatedApp) => void) {
    this.#tls = tls
    this.#route = route
  }

  /** False when the port is taken. */
  async listen(address: Address): Promise<boolean> {
    const app = this.#tls === null ? uWS.App() : secureApp(this.#tls)
    this.#route(app)
    const socket = await new Promise<uWS.us_listen_socket | false>((resolve) => {
      app.listen(address.host, address.port, resolve)
    })
    if (socket === false || this.#isClosed) {
      app.close()
      return false
    }
    this.#address = address
    this.#listeners.push({ app, socket })
    return true
  }

  async renew(tls: TlsMaterial): Promise<void> {
    const address = this.#address
    assert(address !== null, 'certificates are renewed where somebody listens')
    this.#tls = tls
    const before = this.#listeners.at(-1)
    if (before?.socket === null) return // accepts no more
    if ((await this.listen(address)) && before !== undefined) stopListening(before)
  }

  stopAccepting(): void {
    for (const listener of this.#listeners) stopListening(listener)
  }

  close(): void {
    this.#isClosed = true
    for (const { app } of this.#listeners) app.close()
    this.#listeners = []
  }
}

function secureApp({ files }: TlsMaterial): uWS.TemplatedApp {
  // It takes names alone: these files were read and found good a moment ago.
  return uWS.SSLApp({ cert_file_name: files.certificate, key_file_name: files.key })
}

function stopListening(listener: Listener): void {
  if (listener.socket !== null) uWS.us_listen_socket_close(listener.socket)
  listener.socket = null
}
