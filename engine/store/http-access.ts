/**
 * Who may speak to the store's TCP port. The Host must be one that a web page cannot make its own: a name of this
 * machine, the address listened on, or a listed name. Beyond loopback also any IP address and any name without a dot,
 * as services of one network call each other; to rebind a name to this machine an attacker needs one with a dot. An
 * Origin must name the same host, or one of the first kinds: a page from elsewhere gets nothing.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import { isLoopback } from '../address.ts'
import { ClickHouseFault, EXCEPTION_CODE, StoreStartError } from './errors.ts'

const NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/
const NAME_WITHOUT_DOT = /^[a-z0-9_-]{1,63}$/

/** `db.example, db2.example` as a set. Throws a StoreStartError for what is no host name. */
export function parseHostNames(list: string): ReadonlySet<string> {
  const names = list.split(',').map((name) => name.trim().toLowerCase())
  const wrong = names.find((name) => name !== '' && !NAME.test(name))
  if (wrong === undefined) return new Set(names)
  const text = `MILLRACE_STORE_HOSTS takes host names without a port, separated by commas, not ${JSON.stringify(wrong)}`
  throw new StoreStartError('LISTEN_REFUSED', text)
}

/** Whether a Host header is one a client of `listenHost` has reason to send. */
export function isKnownHost(
  hostHeader: string | undefined,
  listenHost: string,
  names: ReadonlySet<string>,
): boolean {
  const name = hostNameOf(hostHeader)
  if (name === null) return false
  if (isOwnName(name, listenHost, names)) return true
  return !isLoopback(listenHost) && (isIP(name) !== 0 || NAME_WITHOUT_DOT.test(name))
}

/** Whether the request may come from a web page: no Origin at all, or one that is at home here. */
export function isKnownOrigin(
  headers: IncomingHttpHeaders,
  listenHost: string,
  names: ReadonlySet<string>,
): boolean {
  if (headers['sec-fetch-site'] === 'cross-site') return false
  if (headers.origin === undefined) return true
  const name = hostNameOf(/^https?:\/\/([^/?#\s]+)$/i.exec(headers.origin)?.[1])
  if (name === null) return false
  return isOwnName(name, listenHost, names) || name === hostNameOf(headers.host)
}

function isOwnName(name: string, listenHost: string, names: ReadonlySet<string>): boolean {
  return isLoopback(name) || name === listenHost.toLowerCase() || names.has(name)
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
