/**
 * Tells a port in use from one to share. Gateways of one engine share their ports by SO_REUSEPORT, and so
 * would two engines, without a word: the first gateway therefore asks for the port alone before it opens it
 * to the others.
 */
import { createServer } from 'node:net'

/**
 * Resolves with the port, or a free one for 0. Rejects, with the error of `listen`, when anyone else listens
 * there.
 */
export function requireFreePort(host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address()
      server.close(() => resolve(address !== null && typeof address === 'object' ? address.port : port))
    })
  })
}
