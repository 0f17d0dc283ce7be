/**
 * The properties of rare packets as objects, from checked bytes and to bytes. The table is in properties.ts.
 */
import { assert } from '../../base/assert.ts'
import { isPropertyAllowed, kindOf, PropertyId, PropertyKind, u16At, u32At, valueSize } from './properties.ts'
import { copyOf, decodeText, encodeText } from './text.ts'
import { readVarint, varintSize, writeVarint } from './varint.ts'

/** Absent properties are undefined. Not every packet may have every one. */
export interface Properties {
  payloadFormatIndicator?: 0 | 1
  messageExpiryIntervalS?: number
  contentType?: string
  responseTopic?: string
  correlationData?: Uint8Array
  subscriptionIdentifier?: number
  sessionExpiryIntervalS?: number
  assignedClientIdentifier?: string
  serverKeepAliveS?: number
  authenticationMethod?: string
  authenticationData?: Uint8Array
  requestProblemInformation?: 0 | 1
  willDelayIntervalS?: number
  requestResponseInformation?: 0 | 1
  responseInformation?: string
  serverReference?: string
  reasonString?: string
  receiveMaximum?: number
  topicAliasMaximum?: number
  topicAlias?: number
  maximumQos?: 0 | 1
  retainAvailable?: 0 | 1
  userProperties?: [string, string][]
  maximumPacketSizeBytes?: number
  wildcardSubscriptionAvailable?: 0 | 1
  subscriptionIdentifiersAvailable?: 0 | 1
  sharedSubscriptionAvailable?: 0 | 1
}

const idOf: Record<keyof Properties, number> = {
  payloadFormatIndicator: PropertyId.PAYLOAD_FORMAT_INDICATOR,
  messageExpiryIntervalS: PropertyId.MESSAGE_EXPIRY_INTERVAL,
  contentType: PropertyId.CONTENT_TYPE,
  responseTopic: PropertyId.RESPONSE_TOPIC,
  correlationData: PropertyId.CORRELATION_DATA,
  subscriptionIdentifier: PropertyId.SUBSCRIPTION_IDENTIFIER,
  sessionExpiryIntervalS: PropertyId.SESSION_EXPIRY_INTERVAL,
  assignedClientIdentifier: PropertyId.ASSIGNED_CLIENT_IDENTIFIER,
  serverKeepAliveS: PropertyId.SERVER_KEEP_ALIVE,
  authenticationMethod: PropertyId.AUTHENTICATION_METHOD,
  authenticationData: PropertyId.AUTHENTICATION_DATA,
  requestProblemInformation: PropertyId.REQUEST_PROBLEM_INFORMATION,
  willDelayIntervalS: PropertyId.WILL_DELAY_INTERVAL,
  requestResponseInformation: PropertyId.REQUEST_RESPONSE_INFORMATION,
  responseInformation: PropertyId.RESPONSE_INFORMATION,
  serverReference: PropertyId.SERVER_REFERENCE,
  reasonString: PropertyId.REASON_STRING,
  receiveMaximum: PropertyId.RECEIVE_MAXIMUM,
  topicAliasMaximum: PropertyId.TOPIC_ALIAS_MAXIMUM,
  topicAlias: PropertyId.TOPIC_ALIAS,
  maximumQos: PropertyId.MAXIMUM_QOS,
  retainAvailable: PropertyId.RETAIN_AVAILABLE,
  userProperties: PropertyId.USER_PROPERTY,
  maximumPacketSizeBytes: PropertyId.MAXIMUM_PACKET_SIZE,
  wildcardSubscriptionAvailable: PropertyId.WILDCARD_SUBSCRIPTION_AVAILABLE,
  subscriptionIdentifiersAvailable: PropertyId.SUBSCRIPTION_IDENTIFIERS_AVAILABLE,
  sharedSubscriptionAvailable: PropertyId.SHARED_SUBSCRIPTION_AVAILABLE,
}

type PropertyKey = keyof Properties
type PropertyValue = Exclude<Properties[PropertyKey], undefined>

const keys = Object.keys(idOf) as PropertyKey[]
const keyOf = new Map<number, PropertyKey>(keys.map((key) => [idOf[key], key]))

/** The properties in bytes[start, end), which `scanProperties` has accepted. */
export function decodeProperties(bytes: Uint8Array, start: number, end: number): Properties {
  const values: Partial<Record<PropertyKey, PropertyValue>> = {}
  const userProperties: [string, string][] = []
  for (let offset = start; offset < end; ) {
    const id = bytes[offset++]
    const size = valueSize(bytes, offset, end, kindOf[id])
    assert(size > 0, 'properties are checked before they are decoded')
    if (id === PropertyId.USER_PROPERTY) {
      const nameEnd = offset + 2 + u16At(bytes, offset)
      userProperties.push([
        decodeText(bytes, offset + 2, nameEnd),
        decodeText(bytes, nameEnd + 2, offset + size),
      ])
    } else {
      values[keyOf.get(id)!] = decodeValue(bytes, offset, offset + size, kindOf[id])
    }
    offset += size
  }
  if (userProperties.length > 0) values.userProperties = userProperties
  return values as Properties
}

function decodeValue(bytes: Uint8Array, start: number, end: number, kind: number): PropertyValue {
  switch (kind) {
    case PropertyKind.BIT:
      return bytes[start]
    case PropertyKind.U16:
    case PropertyKind.U16_POSITIVE:
      return u16At(bytes, start)
    case PropertyKind.U32:
    case PropertyKind.U32_POSITIVE:
      return u32At(bytes, start)
    case PropertyKind.VARINT_POSITIVE:
      return readVarint(bytes, start, end)
    case PropertyKind.BINARY:
      return copyOf(bytes, start + 2, end)
    default:
      return decodeText(bytes, start + 2, end)
  }
}

/** Encodes the properties, without the length before them. They must be ones that may stand in `place`. */
export function encodeProperties(properties: Properties, place: number): Uint8Array {
  const out: number[] = []
  for (const key of keys) {
    const value = properties[key]
    if (value === undefined) continue
    const id = idOf[key]
    assert(isPropertyAllowed(id, place), `${key} may not stand in this packet`)
    if (key !== 'userProperties') {
      out.push(id)
      pushValue(out, kindOf[id], value as PropertyValue)
      continue
    }
    for (const [name, text] of properties.userProperties ?? []) {
      out.push(id)
      pushBytes(out, encodeText(name))
      pushBytes(out, encodeText(text))
    }
  }
  return Uint8Array.from(out)
}

function pushValue(out: number[], kind: number, value: PropertyValue): void {
  if (typeof value === 'string') pushBytes(out, encodeText(value))
  else if (value instanceof Uint8Array) pushBytes(out, value)
  else pushNumber(out, kind, value as number)
}

function pushNumber(out: number[], kind: number, number: number): void {
  if (kind === PropertyKind.VARINT_POSITIVE) {
    const varint = new Uint8Array(varintSize(number))
    writeVarint(varint, 0, number)
    out.push(...varint)
    return
  }
  const size =
    kind === PropertyKind.BIT ? 1 : kind === PropertyKind.U16 || kind === PropertyKind.U16_POSITIVE ? 2 : 4
  assert(number >= 0 && number < 256 ** size, 'a property must fit its field')
  for (let shift = (size - 1) * 8; shift >= 0; shift -= 8) out.push((number >>> shift) & 0xff)
}

/** A length of two bytes and the bytes. */
function pushBytes(out: number[], bytes: Uint8Array): void {
  assert(bytes.length <= 0xffff, 'a field of MQTT has at most 65,535 bytes')
  out.push(bytes.length >> 8, bytes.length & 0xff)
  for (const byte of bytes) out.push(byte)
}
