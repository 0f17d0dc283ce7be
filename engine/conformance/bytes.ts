/** For tests: packets that a library refuses to write. */
import type { Version } from './peer.ts'

/** A text, or any bytes, behind its size. */
export function field(content: string | Uint8Array): Buffer {
  const bytes = Buffer.from(content as string)
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes])
}

/** A packet of less than 16 KiB: its first byte, its length, its parts. */
export function packet(header: number, ...parts: (Uint8Array | readonly number[])[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part as Uint8Array)))
  const size = body.length < 128 ? [body.length] : [(body.length & 127) | 128, body.length >> 7]
  return Buffer.concat([Buffer.from([header, ...size]), body])
}

export interface RawConnect {
  header?: number
  name?: string
  level?: number
  flags?: number
  keepAliveS?: number
  /** Without their length. */
  properties?: readonly number[]
  /** Everything behind the properties; the client identifier alone when left out. */
  payload?: readonly Uint8Array[]
}

export function connectBytes(version: Version, clientId: string, raw: RawConnect = {}): Buffer {
  const { header = 0x10, name = 'MQTT', level = version, flags = 0x02, keepAliveS = 0, properties = [] } = raw
  const { payload = [field(clientId)] } = raw
  return packet(
    header,
    field(name),
    [level, flags, keepAliveS >> 8, keepAliveS & 0xff],
    version === 5 ? [properties.length, ...properties] : [],
    ...payload,
  )
}

/** Properties where a version has them: none, as a length of 0. */
export function noProperties(version: Version): number[] {
  return version === 5 ? [0] : []
}

/** Not UTF-8: a surrogate, an overlong slash, a lone continuation. */
export const ILL_FORMED: readonly Uint8Array[] = [
  Buffer.from([0x61, 0xed, 0xa0, 0x80]),
  Buffer.from([0xc0, 0xaf]),
  Buffer.from([0x80]),
]
export const NULL_CHARACTER = Buffer.from([0x61, 0x00, 0x62])
