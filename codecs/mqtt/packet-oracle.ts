/** For tests: reads any packet with this codec and with `mqtt-packet`, both into the same plain form. */
import mqtt, { type Packet } from 'mqtt-packet'
import { AckFields, type AckType, readAck } from './ack.ts'
import { readConnect } from './connect.ts'
import { readAuth, readDisconnect } from './disconnect.ts'
import { areHeaderFlagsValid, PacketType, type ProtocolVersion, ReasonCode } from './packet.ts'
import { decodeProperties } from './property-objects.ts'
import { PublishFields, readPublish } from './publish.ts'
import { readSubscribe, readUnsubscribe } from './subscribe.ts'
import { isTopicNameValid } from './topic.ts'

/** A packet, or the reason code with which it was refused. MqttErrors are thrown on. */
export type Reading = Record<string, unknown> | number

/** Reads one packet that `cutFrames` has cut, as the gateway would: flags first, then the body. */
export function readOurs(
  bytes: Uint8Array,
  header: number,
  bodyStart: number,
  bodyEnd: number,
  version: ProtocolVersion,
): Reading {
  if (!areHeaderFlagsValid(header)) return ReasonCode.MALFORMED_PACKET
  const body = [bytes, bodyStart, bodyEnd] as const
  const type = header >> 4
  switch (type) {
    case PacketType.CONNECT:
      return { type, ...readConnect(...body) }
    case PacketType.PUBLISH:
      return readPublishPlainly(bytes, header, bodyStart, bodyEnd, version)
    case PacketType.PUBACK:
    case PacketType.PUBREC:
    case PacketType.PUBREL:
    case PacketType.PUBCOMP: {
      const ack = new AckFields()
      return readAck(...body, version, ack, type as AckType) || { type, ...ack }
    }
    case PacketType.SUBSCRIBE:
      return { type, ...readSubscribe(...body, version) }
    case PacketType.UNSUBSCRIBE:
      return { type, ...readUnsubscribe(...body, version) }
    case PacketType.PINGREQ:
      return bodyStart === bodyEnd ? { type } : ReasonCode.MALFORMED_PACKET
    case PacketType.DISCONNECT:
      return { type, ...readDisconnect(...body, version) }
    case PacketType.AUTH:
      return version === 5 ? { type, ...readAuth(...body) } : ReasonCode.PROTOCOL_ERROR
    default:
      return ReasonCode.PROTOCOL_ERROR
  }
}

function readPublishPlainly(
  bytes: Uint8Array,
  header: number,
  bodyStart: number,
  bodyEnd: number,
  version: ProtocolVersion,
): Reading {
  const fields = new PublishFields()
  const fault = readPublish(bytes, header, bodyStart, bodyEnd, version, fields)
  if (fault !== 0) return fault
  const { topicStart, topicEnd, propertiesStart, propertiesEnd, payloadStart, payloadEnd } = fields
  if (topicEnd > topicStart && !isTopicNameValid(bytes, topicStart, topicEnd))
    return ReasonCode.TOPIC_NAME_INVALID
  return {
    type: PacketType.PUBLISH,
    topic: Buffer.from(bytes.subarray(topicStart, topicEnd)).toString(),
    payload: Buffer.from(bytes.subarray(payloadStart, payloadEnd)),
    qos: fields.qos,
    isDup: fields.isDup,
    isRetain: fields.isRetain,
    packetId: fields.packetId,
    topicAlias: fields.topicAlias,
    messageExpiryIntervalS: fields.messageExpiryIntervalS,
    properties: decodeProperties(bytes, propertiesStart, propertiesEnd),
  }
}

/** What `mqtt-packet` makes of one packet; an Error when it refuses it, null when it wants more bytes. */
export function parseTheirs(bytes: Uint8Array, version: ProtocolVersion): Packet | Error | null {
  let result: Packet | Error | null = null
  const parser = mqtt.parser({ protocolVersion: version })
  parser.on('packet', (packet) => {
    result ??= packet
  })
  parser.on('error', (error) => {
    if (!(result instanceof Error)) result = error
  })
  try {
    parser.parse(Buffer.from(bytes))
  } catch (error) {
    return error as Error
  }
  return result
}

/** Our names for their properties. Values that are yes or no are 0 and 1 here. */
const renamed: Record<string, string> = {
  sessionExpiryInterval: 'sessionExpiryIntervalS',
  willDelayInterval: 'willDelayIntervalS',
  maximumPacketSize: 'maximumPacketSizeBytes',
  messageExpiryInterval: 'messageExpiryIntervalS',
  serverKeepAlive: 'serverKeepAliveS',
  maximumQoS: 'maximumQos',
}

/** Their properties in our form; user properties as pairs. */
export function propertiesOfTheirs(theirs: object | undefined): Record<string, unknown> {
  const out: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(theirs ?? {})) {
    const ours = renamed[name] ?? name
    if (name === 'userProperties') out[ours] = pairs(value as Record<string, string | string[]>)
    else out[ours] = typeof value === 'boolean' ? Number(value) : value
  }
  return out
}

function pairs(properties: Record<string, string | string[]>): [string, string][] {
  return Object.entries(properties).flatMap(([name, value]) =>
    [value].flat().map((text): [string, string] => [name, text]),
  )
}

/** A packet of theirs in the form of `readOurs`. */
export function plainOfTheirs(packet: Packet, version: ProtocolVersion): Record<string, unknown> {
  const typeName = packet.cmd.toUpperCase() as keyof typeof PacketType
  const type = PacketType[typeName]
  const properties = 'properties' in packet ? propertiesOfTheirs(packet.properties) : {}
  const userProperties = properties.userProperties ?? []
  const packetId = packet.messageId
  switch (packet.cmd) {
    case 'connect':
      return plainConnect(packet, version, properties)
    case 'publish':
      return {
        type,
        topic: packet.topic,
        payload: packet.payload,
        qos: packet.qos,
        isDup: packet.dup,
        isRetain: packet.retain,
        packetId: packetId ?? 0,
        topicAlias: properties.topicAlias ?? 0,
        messageExpiryIntervalS: properties.messageExpiryIntervalS ?? -1,
        properties,
      }
    case 'subscribe': {
      const filters = packet.subscriptions.map(({ topic, qos, nl, rap, rh }) => {
        return {
          filter: topic,
          qos,
          noLocal: nl ?? false,
          retainAsPublished: rap ?? false,
          retainHandling: rh ?? 0,
        }
      })
      const subscriptionIdentifier = properties.subscriptionIdentifier ?? 0
      return { type, packetId, subscriptionIdentifier, filters, userProperties }
    }
    case 'unsubscribe':
      return { type, packetId, filters: packet.unsubscriptions, userProperties }
    case 'disconnect': {
      const { sessionExpiryIntervalS, reasonString } = properties
      return {
        type,
        reasonCode: packet.reasonCode ?? 0,
        sessionExpiryIntervalS,
        reasonString,
        userProperties,
      }
    }
    case 'auth': {
      const { authenticationMethod, authenticationData = null, reasonString } = properties
      return {
        type,
        reasonCode: packet.reasonCode,
        authenticationMethod,
        authenticationData,
        reasonString,
        userProperties,
      }
    }
    case 'pingreq':
      return { type }
    default:
      return { type, packetId, reasonCode: ('reasonCode' in packet && packet.reasonCode) || 0 }
  }
}

function plainConnect(
  packet: Extract<Packet, { cmd: 'connect' }>,
  version: ProtocolVersion,
  properties: Record<string, unknown>,
): Record<string, unknown> {
  const { will } = packet
  return {
    type: PacketType.CONNECT,
    protocolVersion: version,
    clientId: packet.clientId,
    cleanStart: packet.clean,
    keepAliveS: packet.keepalive,
    username: packet.username ?? null,
    password: packet.password ?? null,
    will: will
      ? {
          topic: will.topic,
          payload: will.payload,
          qos: will.qos,
          isRetain: will.retain,
          properties: propertiesOfTheirs(will.properties),
        }
      : null,
    properties: {
      sessionExpiryIntervalS: properties.sessionExpiryIntervalS ?? 0,
      receiveMaximum: properties.receiveMaximum ?? 65_535,
      maximumPacketSizeBytes: properties.maximumPacketSizeBytes ?? 0,
      topicAliasMaximum: properties.topicAliasMaximum ?? 0,
      requestResponseInformation: (properties.requestResponseInformation ?? 0) === 1,
      requestProblemInformation: (properties.requestProblemInformation ?? 1) === 1,
      userProperties: properties.userProperties ?? [],
      authenticationMethod: properties.authenticationMethod ?? null,
      authenticationData: properties.authenticationData ?? null,
    },
  }
}

/** The same with every byte array as hexadecimal, so that a Buffer equals a Uint8Array. */
export function comparable(value: unknown): unknown {
  if (value instanceof Uint8Array) return `hex:${Buffer.from(value).toString('hex')}`
  if (Array.isArray(value)) return value.map(comparable)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, part]) => part !== undefined)
      .map(([name, part]) => [name, comparable(part)]),
  )
}
