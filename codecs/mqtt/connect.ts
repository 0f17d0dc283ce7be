/** CONNECT (section 3.1 of both versions). A rare packet: read into an object, refused by an MqttError. */
import { type ProtocolVersion, type Qos, ReasonCode } from './packet.ts'
import { PacketReader } from './packet-reader.ts'
import { PropertyPlace } from './properties.ts'
import type { Properties } from './property-objects.ts'
import { isTopicNameValid } from './topic.ts'

export interface ConnectProperties {
  /** 0: the session ends with the connection; 0xffffffff: never. */
  sessionExpiryIntervalS: number
  receiveMaximum: number
  /** 0 for no limit. */
  maximumPacketSizeBytes: number
  topicAliasMaximum: number
  requestResponseInformation: boolean
  requestProblemInformation: boolean
  userProperties: [string, string][]
  authenticationMethod: string | null
  authenticationData: Uint8Array | null
}

export interface Will {
  topic: string
  payload: Uint8Array
  qos: Qos
  isRetain: boolean
  /** Those of a will, `willDelayIntervalS` among them. */
  properties: Properties
}

export interface ConnectPacket {
  protocolVersion: ProtocolVersion
  /** Empty when the server is to choose one. */
  clientId: string
  cleanStart: boolean
  /** 0 turns the keep-alive off. */
  keepAliveS: number
  username: string | null
  password: Uint8Array | null
  will: Will | null
  properties: ConnectProperties
}

const Flag = {
  RESERVED: 0x01,
  CLEAN_START: 0x02,
  WILL: 0x04,
  WILL_RETAIN: 0x20,
  PASSWORD: 0x40,
  USERNAME: 0x80,
}

/**
 * Reads a CONNECT in bytes[bodyStart, bodyEnd); the header's flags are `areHeaderFlagsValid`'s to check. What
 * is returned shares no memory with `bytes`. To answer an error, `connectVersion` says how the client wants
 * to be spoken to.
 */
export function readConnect(bytes: Uint8Array, bodyStart: number, bodyEnd: number): ConnectPacket {
  const reader = new PacketReader('CONNECT', bytes, bodyStart, bodyEnd)
  const protocolVersion = readProtocol(reader)
  const flags = readFlags(reader, protocolVersion)
  const keepAliveS = reader.u16('keep alive')
  const properties = protocolVersion === 5 ? reader.properties(PropertyPlace.CONNECT) : {}
  const clientId = reader.text('client identifier')
  const cleanStart = (flags & Flag.CLEAN_START) !== 0
  // [MQTT-3.1.3-8] of 3.1.1
  if (protocolVersion === 4 && clientId === '' && !cleanStart) {
    reader.fail(
      ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
      'has no client identifier but asks for a kept session',
    )
  }
  const will = (flags & Flag.WILL) !== 0 ? readWill(reader, flags, protocolVersion) : null
  const username = (flags & Flag.USERNAME) !== 0 ? reader.text('user name') : null
  const password = (flags & Flag.PASSWORD) !== 0 ? reader.binary('password') : null
  reader.finish()
  if (properties.authenticationData !== undefined && properties.authenticationMethod === undefined) {
    reader.fail(ReasonCode.PROTOCOL_ERROR, 'has authentication data without a method')
  }
  return {
    protocolVersion,
    clientId,
    cleanStart,
    keepAliveS,
    username,
    password,
    will,
    properties: withDefaults(properties),
  }
}

/**
 * The version that a CONNECT asks for, as far as it can be told; 0 when it does not look like MQTT at all.
 */
export function connectVersion(bytes: Uint8Array, bodyStart: number, bodyEnd: number): ProtocolVersion | 0 {
  try {
    const reader = new PacketReader('CONNECT', bytes, bodyStart, bodyEnd)
    const name = reader.text('protocol name')
    if (name !== 'MQTT' && name !== 'MQIsdp') return 0
    return reader.u8('protocol level') >= 5 ? 5 : 4
  } catch {
    return 0
  }
}

function readProtocol(reader: PacketReader): ProtocolVersion {
  const name = reader.text('protocol name')
  const level = reader.u8('protocol level')
  if (name === 'MQTT' && (level === 4 || level === 5)) return level
  return reader.fail(
    ReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
    'asks for a protocol other than MQTT 3.1.1 or 5.0',
  )
}

function readFlags(reader: PacketReader, version: ProtocolVersion): number {
  const flags = reader.u8('flags')
  const willQos = (flags >> 3) & 3
  if ((flags & Flag.RESERVED) !== 0) reader.malformed('has its reserved flag set')
  if (willQos === 3) reader.malformed('has a will of QoS 3')
  if ((flags & Flag.WILL) === 0 && (willQos !== 0 || (flags & Flag.WILL_RETAIN) !== 0)) {
    reader.malformed('has flags of a will but no will')
  }
  // [MQTT-3.1.2-22] of 3.1.1; MQTT 5 allows it.
  if (version === 4 && (flags & Flag.PASSWORD) !== 0 && (flags & Flag.USERNAME) === 0) {
    reader.malformed('has a password but no user name')
  }
  return flags
}

function readWill(reader: PacketReader, flags: number, version: ProtocolVersion): Will {
  const properties = version === 5 ? reader.properties(PropertyPlace.WILL) : {}
  const topicStart = reader.offset + 2
  const topic = reader.text('will topic')
  if (!isTopicNameValid(reader.bytes, topicStart, reader.offset)) {
    reader.fail(ReasonCode.TOPIC_NAME_INVALID, 'has a will topic that is empty or has wildcards')
  }
  const payload = reader.binary('will payload')
  const qos = ((flags >> 3) & 3) as Qos
  return { topic, payload, qos, isRetain: (flags & Flag.WILL_RETAIN) !== 0, properties }
}

function withDefaults(properties: Properties): ConnectProperties {
  return {
    sessionExpiryIntervalS: properties.sessionExpiryIntervalS ?? 0,
    receiveMaximum: properties.receiveMaximum ?? 65_535,
    maximumPacketSizeBytes: properties.maximumPacketSizeBytes ?? 0,
    topicAliasMaximum: properties.topicAliasMaximum ?? 0,
    requestResponseInformation: properties.requestResponseInformation === 1,
    requestProblemInformation: properties.requestProblemInformation !== 0,
    userProperties: properties.userProperties ?? [],
    authenticationMethod: properties.authenticationMethod ?? null,
    authenticationData: properties.authenticationData ?? null,
  }
}
