/** HOST:PORT as the command line says it. */

export interface Address {
  host: string
  port: number
}

/** `127.0.0.1:1883`, `[::1]:1883` or `:1883` (all of loopback's 127.0.0.1); null for anything else. */
export function parseAddress(text: string): Address | null {
  const parts = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]\s]*)):(\d{1,5})$/.exec(text)
  if (parts === null || Number(parts[3]) > 65_535) return null
  return { host: parts[1] ?? (parts[2] === '' ? '127.0.0.1' : parts[2]), port: Number(parts[3]) }
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host)
}
