/**
 * What an accepted socket goes through when it comes from a trusted load balancer: the header of the PROXY
 * protocol, version 2, before anything else. From such an address it is required, from any other it is not
 * understood: nobody can claim to be somewhere else. Owner: the gateway's thread.
 */
import { BlockList, isIP, type Socket } from 'node:net'
import { PROXY_HEADER_SIZE_BYTES_MAX, ProxyHeader, readProxyHeader } from '../../codecs/proxy/proxy-header.ts'

const header = new ProxyHeader()

/** The addresses and networks that headers are taken from. */
export class TrustedProxies {
  #list = new BlockList()
  #isEmpty: boolean

  /** `10.0.0.7`, `10.0.0.0/8`, `fd00::/8`: checked by the command line. */
  constructor(networks: readonly string[]) {
    this.#isEmpty = networks.length === 0
    for (const network of networks) {
      const [address, prefix] = network.split('/')
      const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
      if (prefix === undefined) this.#list.addAddress(address, family)
      else this.#list.addSubnet(address, Number(prefix), family)
    }
  }

  has(address: string): boolean {
    return !this.#isEmpty && this.#list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
  }
}

/**
 * Reads the header from a paused socket; `done` then hears the client's address (null: the proxy's own) and
 * the bytes behind it, `failed` that there is none. Neither is called when the socket ends first.
 */
export function readProxied(
  socket: Socket,
  done: (address: string | null, rest: Uint8Array) => void,
  failed: () => void,
): void {
  let held = Buffer.alloc(0)
  const onData = (chunk: Buffer): void => {
    held = Buffer.concat([held, chunk])
    const size = readProxyHeader(held, 0, held.length, header)
    if (size === 0 && held.length < PROXY_HEADER_SIZE_BYTES_MAX) return
    socket.off('data', onData)
    socket.pause()
    if (size > 0) done(header.address, held.subarray(size))
    else failed()
  }
  socket.on('data', onData)
  socket.resume()
}
