/** The options of `millrace start` that have to do with TLS. */
import { resolve } from 'node:path'
import type { Address } from '../address.ts'
import type { ClientCertificate, TlsFiles } from '../tls/tls-material.ts'
import { addressOption, UsageError } from './command.ts'

export const TLS_OPTIONS = {
  mqtts: { type: 'string' },
  wss: { type: 'string' },
  'tls-cert': { type: 'string' },
  'tls-key': { type: 'string' },
  'tls-ca': { type: 'string' },
  'tls-client-cert': { type: 'string' },
} as const

type Values = Partial<Record<keyof typeof TLS_OPTIONS, string>>

export interface TlsDoors {
  mqtts: Address | null
  wss: Address | null
  tls: TlsFiles | null
}

/** Throws UsageError. The files are read when the engine starts. */
export function tlsOptions(values: Values): TlsDoors {
  const mqtts = values.mqtts === undefined ? null : addressOption('mqtts', values.mqtts)
  const wss = values.wss === undefined ? null : addressOption('wss', values.wss)
  const { 'tls-cert': certificate, 'tls-key': key, 'tls-ca': authority } = values
  if (mqtts === null && wss === null) {
    const given = Object.keys(TLS_OPTIONS).find((name) => values[name as keyof Values] !== undefined)
    if (given !== undefined) throw new UsageError(`--${given} is for doors with TLS: add --mqtts HOST:PORT`)
    return { mqtts, wss, tls: null }
  }
  const door = mqtts === null ? '--wss' : '--mqtts'
  if (certificate === undefined)
    throw new UsageError(`${door} needs --tls-cert FILE, the server's certificate`)
  if (key === undefined) throw new UsageError(`${door} needs --tls-key FILE, the key of the certificate`)
  const clientCertificate = clientCertificateOption(values['tls-client-cert'])
  if (clientCertificate !== 'none') {
    if (authority === undefined) {
      throw new UsageError('--tls-client-cert needs --tls-ca FILE, the authority that signs devices')
    }
    if (mqtts === null)
      throw new UsageError('--tls-client-cert is for --mqtts: --wss asks for no certificates')
  }
  if (clientCertificate === 'none' && authority !== undefined) {
    throw new UsageError('--tls-ca is for --tls-client-cert require or request: add that')
  }
  return {
    mqtts,
    wss,
    tls: {
      certificate: resolve(certificate),
      key: resolve(key),
      clientAuthority: authority === undefined ? null : resolve(authority),
      clientCertificate,
    },
  }
}

function clientCertificateOption(text: string | undefined): ClientCertificate {
  if (text === undefined) return 'none'
  if (text === 'require' || text === 'request') return text
  throw new UsageError(`--tls-client-cert takes require or request, not ${JSON.stringify(text)}`)
}
