import { expect, test } from 'vitest'
import { areHeaderFlagsValid, MqttError, PacketType, ReasonCode } from './packet.ts'

test('the flags of all 256 first bytes (table 2-2)', () => {
  const withTwo: number[] = [PacketType.PUBREL, PacketType.SUBSCRIBE, PacketType.UNSUBSCRIBE]
  for (let header = 0; header < 256; header++) {
    const type = header >> 4
    const flags = header & 15
    let expected = type !== 0 && flags === (withTwo.includes(type) ? 2 : 0)
    if (type === PacketType.PUBLISH) expected = ((flags >> 1) & 3) !== 3
    expect(areHeaderFlagsValid(header), `0x${header.toString(16)}`).toBe(expected)
  }
})

test('an error carries its reason code and a code made of its name', () => {
  const error = new MqttError(ReasonCode.PACKET_TOO_LARGE, 'PUBLISH is too large')
  expect(error).toMatchObject({ reasonCode: 0x95, code: 'MQTT_PACKET_TOO_LARGE', name: 'MqttError' })
})
