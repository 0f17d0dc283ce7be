/**
 * Who may speak to the store's TCP port. The Host must name this machine or the address listened on, and an
 * Origin must too: a web page elsewhere, even behind a name that it rebinds to 127.0.0.1, gets nothing.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import { ClickHouseFault, EXCEPTION_CODE } from './errors.ts'

const LOOPBACK_NAMES = new Set(['localhost', '127.0.0.1', '::1'])
const ANY_ADDRESSES = new Set(['0.0.0.0', '::'])

export function isLoopback(host: string): boolean {
  return LOOPBACK_NAMES.has(host) || /^127\.\d+\.\d+\.\d+$/.test(host)
}

/** Whether a Host header is one a client of `listenHost` has reason to send. */
export function isKnownHost(hostHeader: string | undefined, listenHost: string): boolean {
  const name = hostNameOf(hostHeader)
  if (name === null) return false
  if (isLoopback(name) || name === listenHost.toLowerCase()) return true
  // Listening everywhere: an address typed in is safe, a name might have been rebound.
  return ANY_ADDRESSES.has(listenHost) && isIP(name) !== 0
}

/** Whether the request may come from a web page: no Origin at all, or one on a known host. */
export function isKnownOrigin(headers: IncomingHttpHeaders, listenHost: string): boolean {
  if (headers['sec-fetch-site'] === 'cross-site') return false
  if (headers.origin === undefined) return true
  const host = /^https?:\/\/([^/?#\s]+)$/i.exec(headers.origin)?.[1]
  return isKnownHost(host, listenHost)
}

function hostNameOf(header: string | undefined): string | null {
  const found = /^(?:\[([0-9a-f:.]+)\]|([^:@\s/\\]+))(?::\d{1,5})?$/i.exec(header ?? '')
  return found === null ? null : (found[1] ?? found[2]).toLowerCase()
}

/**
 * Throws AUTHENTICATION_FAILED unless the request carries the password, in any of ClickHouse's three ways.
 */
export function checkPassword(headers: IncomingHttpHeaders, params: URLSearchParams, password: string): void {
  const sent = sentPassword(headers, params)
  if (sent !== null && timingSafeEqual(digest(sent), digest(password))) return
  throw new ClickHouseFault(
    EXCEPTION_CODE.AUTHENTICATION_FAILED,
    'default: Authentication failed: the password is wrong. (AUTHENTICATION_FAILED)',
  )
}

function sentPassword(headers: IncomingHttpHeaders, params: URLSearchParams): string | null {
  const key = headers['x-clickhouse-key']
  if (typeof key === 'string') return key
  const basic = /^Basic ([A-Za-z0-9+/=]+)$/.exec(headers.authorization ?? '')
  if (basic !== null) {
    const pair = Buffer.from(basic[1], 'base64').toString('utf8')
    return pair.slice(pair.indexOf(':') + 1)
  }
  return params.get('password')
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
