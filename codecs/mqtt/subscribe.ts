/**
 * SUBSCRIBE and UNSUBSCRIBE (sections 3.8 and 3.10). Rare packets: read into objects, refused by an
 * MqttError.
 */
import { type ProtocolVersion, type Qos, ReasonCode } from './packet.ts'
import { PacketReader } from './packet-reader.ts'
import { PropertyPlace } from './properties.ts'
import { isShared } from './topic.ts'

export interface FilterRequest {
  /**
   * As sent: whether it is a valid filter is `isTopicFilterValid`'s to say, as each filter has an answer of
   * its own.
   */
  filter: string
  qos: Qos
  noLocal: boolean
  retainAsPublished: boolean
  /** 0: send retained messages; 1: only for a new subscription; 2: never. */
  retainHandling: 0 | 1 | 2
}

export interface SubscribePacket {
  packetId: number
  /** 0 when there is none. */
  subscriptionIdentifier: number
  filters: FilterRequest[]
  userProperties: [string, string][]
}

export interface UnsubscribePacket {
  packetId: number
  filters: string[]
  userProperties: [string, string][]
}

export function readSubscribe(
  bytes: Uint8Array,
  bodyStart: number,
  bodyEnd: number,
  version: ProtocolVersion,
): SubscribePacket {
  const reader = new PacketReader('SUBSCRIBE', bytes, bodyStart, bodyEnd)
  const packetId = reader.packetId()
  const properties = version === 5 ? reader.properties(PropertyPlace.SUBSCRIBE) : {}
  const filters: FilterRequest[] = []
  while (reader.left > 0) filters.push(readFilterRequest(reader, version))
  if (filters.length === 0) reader.fail(ReasonCode.PROTOCOL_ERROR, 'has no topic filter')
  return {
    packetId,
    subscriptionIdentifier: properties.subscriptionIdentifier ?? 0,
    filters,
    userProperties: properties.userProperties ?? [],
  }
}

function readFilterRequest(reader: PacketReader, version: ProtocolVersion): FilterRequest {
  const filter = reader.text('topic filter')
  const options = reader.u8('subscription options')
  const qos = options & 3
  const retainHandling = (options >> 4) & 3
  const noLocal = (options & 4) !== 0
  if (qos === 3) reader.malformed('asks for QoS 3')
  if ((options & (version === 5 ? 0xc0 : 0xfc)) !== 0)
    reader.malformed('has reserved subscription options set')
  if (retainHandling === 3) reader.fail(ReasonCode.PROTOCOL_ERROR, 'asks for retain handling 3')
  // [MQTT-3.8.3-4]
  if (noLocal && isShared(filter))
    reader.fail(ReasonCode.PROTOCOL_ERROR, 'asks for no local on a shared filter')
  return {
    filter,
    qos: qos as Qos,
    noLocal,
    retainAsPublished: (options & 8) !== 0,
    retainHandling: retainHandling as 0 | 1 | 2,
  }
}

export function readUnsubscribe(
  bytes: Uint8Array,
  bodyStart: number,
  bodyEnd: number,
  version: ProtocolVersion,
): UnsubscribePacket {
  const reader = new PacketReader('UNSUBSCRIBE', bytes, bodyStart, bodyEnd)
  const packetId = reader.packetId()
  const properties = version === 5 ? reader.properties(PropertyPlace.UNSUBSCRIBE) : {}
  const filters: string[] = []
  while (reader.left > 0) filters.push(reader.text('topic filter'))
  if (filters.length === 0) reader.fail(ReasonCode.PROTOCOL_ERROR, 'has no topic filter')
  return { packetId, filters, userProperties: properties.userProperties ?? [] }
}
