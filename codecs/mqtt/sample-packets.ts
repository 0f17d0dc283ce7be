/** For tests: seeded random packets, in the terms of `mqtt-packet`, which encodes them or has parsed them. */
import type { Packet, QoS, UserProperties } from 'mqtt-packet'
import type { Prng } from '../../base/prng.ts'
import type { ProtocolVersion } from './packet.ts'

const ALPHABET = [
  'a',
  'b',
  'Z',
  '0',
  ' ',
  '-',
  '$',
  '\u007f',
  'é',
  'ß',
  'Ж',
  '\u07ff',
  '\u0800',
  '温',
  '\ufeff',
]
const ASTRAL = ['\ud7ff', '\ue000', '\uffff', '😀', '\u{2a6d4}', '\u{10ffff}']

export class SamplePackets {
  readonly #prng: Prng

  constructor(prng: Prng) {
    this.#prng = prng
  }

  /** A packet that a client may send, of any type that the version has. */
  fromClient(version: ProtocolVersion): Packet {
    const makers = [
      () => this.connect(version),
      () => this.publish(version),
      () => this.ack(version),
      () => this.subscribe(version),
      () => this.unsubscribe(version),
      (): Packet => ({ cmd: 'pingreq' }),
      () => this.disconnect(version),
    ]
    if (version === 5) makers.push(() => this.auth())
    return this.#pick(makers)()
  }

  connect(version: ProtocolVersion): Packet {
    const isClean = this.#chance()
    const hasName = this.#chance()
    return {
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: version,
      clean: isClean,
      clientId: isClean && this.#chance() ? '' : `c${this.text(20)}`,
      keepalive: this.#prng.between(0, 65_535),
      username: hasName ? `u${this.text(12)}` : undefined,
      // MQTT 5 allows a password alone; mqtt-packet does not write it.
      password: hasName && this.#chance() ? this.#bytes(1, 12) : undefined,
      will: this.#chance() ? this.#will(version) : undefined,
      properties: version === 5 ? this.#connectProperties() : undefined,
    }
  }

  #will(version: ProtocolVersion) {
    const properties = {
      willDelayInterval: this.#maybe(() => this.#prng.u32()),
      ...this.#messageProperties(),
    }
    return {
      topic: this.topic(),
      payload: this.#bytes(1, 30),
      qos: this.#qos(),
      retain: this.#chance(),
      properties: version === 5 ? defined(properties) : undefined,
    }
  }

  #connectProperties() {
    const method = this.#maybe(() => this.text(10))
    return defined({
      sessionExpiryInterval: this.#maybe(() => this.#prng.u32()),
      receiveMaximum: this.#maybe(() => this.#prng.between(1, 65_535)),
      maximumPacketSize: this.#maybe(() => this.#prng.between(1, 0xffff_ffff)),
      topicAliasMaximum: this.#maybe(() => this.#prng.between(0, 65_535)),
      requestResponseInformation: this.#maybe(() => this.#chance()),
      requestProblemInformation: this.#maybe(() => this.#chance()),
      userProperties: this.#maybe(() => this.userProperties()),
      authenticationMethod: method,
      authenticationData: method === undefined ? undefined : this.#maybe(() => this.#bytes(0, 20)),
    })
  }

  #messageProperties() {
    return {
      payloadFormatIndicator: this.#maybe(() => this.#chance()),
      messageExpiryInterval: this.#maybe(() => this.#prng.u32()),
      contentType: this.#maybe(() => this.text(10)),
      responseTopic: this.#maybe(() => this.topic()),
      correlationData: this.#maybe(() => this.#bytes(0, 20)),
      userProperties: this.#maybe(() => this.userProperties()),
    }
  }

  publish(version: ProtocolVersion): Packet {
    const qos = this.#qos()
    const alias = version === 5 ? this.#maybe(() => this.#prng.between(1, 65_535)) : undefined
    const properties = { topicAlias: alias, ...this.#messageProperties() }
    return {
      cmd: 'publish',
      topic: alias !== undefined && this.#chance() ? '' : this.topic(),
      payload: this.#bytes(0, this.#chance() ? 20 : 400),
      qos,
      dup: qos > 0 && this.#chance(),
      retain: this.#chance(),
      messageId: qos > 0 ? this.packetId() : undefined,
      properties: version === 5 ? defined(properties) : undefined,
    }
  }

  ack(version: ProtocolVersion): Packet {
    const cmd = this.#pick(['puback', 'pubrec', 'pubrel', 'pubcomp'] as const)
    const messageId = this.packetId()
    if (version === 4 || this.#chance()) return { cmd, messageId }
    const reasons =
      cmd === 'puback' || cmd === 'pubrec' ? [0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99] : [0, 0x92]
    return { cmd, messageId, reasonCode: this.#pick(reasons), properties: this.#reasonProperties() }
  }

  subscribe(version: ProtocolVersion): Packet {
    const subscriptions = this.#list(() => {
      const basic = { topic: this.filter(), qos: this.#qos() }
      if (version === 4) return basic
      const nl = this.#chance() && !basic.topic.startsWith('$share/')
      return { ...basic, nl, rap: this.#chance(), rh: this.#prng.between(0, 2) }
    })
    const properties = {
      subscriptionIdentifier: this.#maybe(
        () => this.#prng.between(1, 268_435_455) >> this.#prng.between(0, 27) || 1,
      ),
      userProperties: this.#maybe(() => this.userProperties()),
    }
    const messageId = this.packetId()
    return {
      cmd: 'subscribe',
      messageId,
      subscriptions,
      properties: version === 5 ? defined(properties) : undefined,
    }
  }

  unsubscribe(version: ProtocolVersion): Packet {
    const properties =
      version === 5 ? defined({ userProperties: this.#maybe(() => this.userProperties()) }) : undefined
    const unsubscriptions = this.#list(() => this.filter())
    return { cmd: 'unsubscribe', messageId: this.packetId(), unsubscriptions, properties }
  }

  disconnect(version: ProtocolVersion): Packet {
    if (version === 4) return { cmd: 'disconnect' }
    const sessionExpiryInterval = this.#maybe(() => this.#prng.u32())
    const properties = defined({ sessionExpiryInterval, ...this.#reasonProperties() })
    return { cmd: 'disconnect', reasonCode: this.#pick([0, 4, 0x80, 0x81, 0x93, 0x98]), properties }
  }

  auth(): Packet {
    const authenticationData = this.#maybe(() => this.#bytes(0, 20))
    const properties = defined({
      authenticationMethod: this.text(8),
      authenticationData,
      ...this.#reasonProperties(),
    })
    return { cmd: 'auth', reasonCode: this.#pick([0x18, 0x19]), properties }
  }

  #reasonProperties() {
    return defined({
      reasonString: this.#maybe(() => this.text(20)),
      userProperties: this.#maybe(() => this.userProperties()),
    })
  }

  /** Repeated names come as one with several values, which is how `mqtt-packet` gives them. */
  userProperties(): UserProperties {
    const properties: UserProperties = {}
    for (let i = this.#prng.between(1, 3); i > 0; i--) {
      const repeated = () => [`v${this.text(5)}`, `w${this.text(5)}`]
      // A leading letter: names like integers would be enumerated in another order.
      properties[`n${this.text(5)}`] = this.#chance() ? `v${this.text(8)}` : repeated()
    }
    return properties
  }

  packetId(): number {
    return this.#prng.between(1, 65_535)
  }

  topic(): string {
    return this.#list(() => this.text(6)).join('/') || '/'
  }

  filter(): string {
    const levels = this.#list(() => this.#pick([this.text(4), this.text(4), '+']))
    if (this.#chance()) levels.push('#')
    const share = this.#prng.between(0, 7) === 0 ? `$share/g${this.text(3)}/x` : ''
    return share + (levels.join('/') || '/')
  }

  text(lengthMax: number): string {
    let text = ''
    for (let i = this.#prng.between(0, lengthMax); i > 0; i--) {
      text += this.#pick(this.#prng.between(0, 9) === 0 ? ASTRAL : ALPHABET)
    }
    return text
  }

  #bytes(sizeMin: number, sizeMax: number): Buffer {
    const size = this.#prng.between(sizeMin, sizeMax)
    return Buffer.from(Array.from({ length: size }, () => this.#prng.between(0, 255)))
  }

  #qos(): QoS {
    return this.#prng.between(0, 2) as QoS
  }

  #list<T>(make: () => T): T[] {
    return Array.from({ length: this.#prng.between(1, 4) }, make)
  }

  #maybe<T>(make: () => T): T | undefined {
    return this.#chance() ? make() : undefined
  }

  #chance(): boolean {
    return this.#prng.unit() < 0.5
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#prng.between(0, from.length - 1)]
  }
}

/** Without the keys whose value is undefined, at which `mqtt-packet` stumbles. */
function defined<T extends object>(properties: T): T {
  return Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== undefined)) as T
}
