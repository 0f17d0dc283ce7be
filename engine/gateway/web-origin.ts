/**
 * Which web pages may open a WebSocket here. Devices and their libraries send no Origin and pass. A browser
 * sends one, and any page that someone on this machine opens could otherwise publish to a listener on
 * 127.0.0.1: its host must be the one asked for (on any port: the console has its own), and that an IP
 * address or localhost, which no foreign name can be made to point at. Pages under other names will need to
 * be listed in the config.
 */
import { isIP } from 'node:net'

export function isOriginAllowed(origin: string, host: string): boolean {
  if (origin === '') return true
  const from = hostnameOf(origin)
  const to = hostnameOf(`http://${host}`)
  return from !== null && from === to && (from === 'localhost' || isIP(from.replace(/^\[|\]$/g, '')) !== 0)
}

function hostnameOf(url: string): string | null {
  return URL.canParse(url) ? new URL(url).hostname : null
}
