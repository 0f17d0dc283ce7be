/** Frames of MQTT over WebSocket, by the WebSocket client of Node. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectPacket, encode, publishPacket } from './gateway-harness.ts'
import { type RunningGateway, runGateway, until } from './socket-harness.ts'

const TOPIC = 'devices/a/telemetry'

let running: RunningGateway

beforeAll(async () => {
  running = await runGateway()
})
afterAll(() => running.stop())

test('a client gets a packet a frame until it has sent several in one', async () => {
  const socket = new WebSocket(`ws://127.0.0.1:${running.webSocketPort}/mqtt`, 'mqtt')
  socket.binaryType = 'arraybuffer'
  const frames: string[] = []
  socket.onmessage = ({ data }) => frames.push(Buffer.from(data as ArrayBuffer).toString('hex'))
  await new Promise((resolve) => {
    socket.onopen = resolve
  })
  const send = (...packets: Parameters<typeof publishPacket>[]): void =>
    socket.send(encode(4, ...packets.map((packet) => publishPacket(...packet))))
  /** What comes for messages that become durable at once. */
  const answersTo = async (ids: number[], publish: () => void): Promise<string[]> => {
    frames.length = 0
    running.isDiskStuck = true
    const { messagesReceived } = running.control.status()
    publish()
    await until(
      () => running.control.status().messagesReceived[1] === messagesReceived[1] + ids.length,
      'the messages',
    )
    running.isDiskStuck = false
    await until(() => frames.join('').length === ids.length * 8, 'the answers')
    return [...frames]
  }
  socket.send(encode(4, connectPacket()))
  await until(() => frames.length === 1, 'CONNACK')
  const ids = [1, 2, 3, 4, 5]
  const pubacks = ids.map((id) => `4002000${id}`)
  expect(await answersTo(ids, () => ids.forEach((id) => void send([TOPIC, '{}', id])))).toEqual(pubacks)
  const inOne = ids.map((id): Parameters<typeof publishPacket> => [TOPIC, '{}', id])
  expect(await answersTo(ids, () => send(...inOne))).toEqual([pubacks.join('')])
  socket.close()
})
