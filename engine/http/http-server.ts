/** The engine's HTTP port: health, readiness, metrics. Main thread; read-only. */
import { createServer, type Server } from 'node:http'
import type { Address } from '../address.ts'
import { EngineError } from '../engine-error.ts'
import type { PasswordFigures } from '../registry/registry-keeper.ts'
import type { StatusBoard } from '../status.ts'
import { formatMetrics } from './metrics.ts'

export interface HttpSource {
  board: StatusBoard
  /** Why the engine takes no messages at the moment; null when it does. */
  unreadyReason(): string | null
  passwords(): PasswordFigures
}

type Answer = { status: number; type: string; body: string }

const TEXT = 'text/plain; charset=utf-8'
const PROMETHEUS = 'text/plain; version=0.0.4; charset=utf-8'

export class HttpServer {
  #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  /** Throws EngineError. */
  static async listen(address: Address, source: HttpSource): Promise<HttpServer> {
    const server = createServer({ requestTimeout: 10_000, headersTimeout: 5000 }, (request, response) => {
      const { status, type, body } = route(request.method ?? '', request.url ?? '', source)
      response.writeHead(status, {
        'content-type': type,
        'content-length': Buffer.byteLength(body),
        'cache-control': 'no-store',
      })
      response.end(request.method === 'HEAD' ? undefined : body)
    })
    server.maxConnections = 256
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        const message = `http can't listen on ${address.host}:${address.port} (${error.code}): free it, or choose another with --http HOST:PORT`
        reject(new EngineError('PORT_IN_USE', message, error))
      })
      server.listen(address.port, address.host, resolve)
    })
    return new HttpServer(server)
  }

  get address(): Address {
    const bound = this.#server.address()
    if (bound === null || typeof bound === 'string')
      throw new EngineError('NOT_LISTENING', 'http is not listening')
    return { host: bound.address, port: bound.port }
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

function route(method: string, url: string, source: HttpSource): Answer {
  if (method !== 'GET' && method !== 'HEAD') return { status: 405, type: TEXT, body: 'only GET and HEAD\n' }
  switch (url.split('?', 1)[0]) {
    case '/healthz':
      return { status: 200, type: TEXT, body: 'ok\n' }
    case '/readyz': {
      const reason = source.unreadyReason()
      return reason === null
        ? { status: 200, type: TEXT, body: 'ready\n' }
        : { status: 503, type: TEXT, body: `${reason}\n` }
    }
    case '/metrics':
      return { status: 200, type: PROMETHEUS, body: formatMetrics(source.board, source.passwords()) }
    default:
      return { status: 404, type: TEXT, body: 'there are /healthz, /readyz and /metrics\n' }
  }
}
