/** What a client may not do (3.1.4, 3.3.5, 3.8.4 of both versions). */
import type { Packet } from 'mqtt-packet'
import { beforeAll, expect } from 'vitest'
import { runMillrace } from '../engine-process.ts'
import { freshName, type Peer, type Version } from './peer.ts'
import { startServer } from './server.ts'
import { shows } from './shows.ts'

const server = startServer()
const DEVICE = 'pump'
let token: string

beforeAll(async () => {
  const { stdout } = await runMillrace([
    'device',
    'add',
    DEVICE,
    '--token',
    '--json',
    '--data',
    server.dataPath,
  ])
  token = JSON.parse(stdout).token
  for (let isKnown = false; !isKnown; ) {
    const stranger = await server.open(5) // let in until the engine knows of its first device
    stranger.sendConnect()
    isKnown = (await stranger.next('connack')).reasonCode !== 0
  }
})

function device(version: Version): Promise<Peer> {
  return server.connect(version, { username: DEVICE, password: Buffer.from(token) })
}

shows(
  'a client that is not known ends at its CONNECT',
  { v4: '3.2.2-5', v5: '3.1.4-2 3.2.2-7' },
  async (version) => {
    const refused = version === 4 ? { returnCode: 5 } : { reasonCode: 0x87 }
    const anonymous = await server.open(version)
    anonymous.sendConnect()
    expect(await anonymous.ended()).toEqual([expect.objectContaining({ cmd: 'connack', ...refused })])
    const wrong = await server.open(version)
    wrong.sendConnect({ username: DEVICE, password: Buffer.from('guessed') })
    const [connack, ...rest] = await wrong.ended()
    expect([4, 5, 0x86, 0x87]).toContain(connack.returnCode ?? connack.reasonCode)
    expect(rest).toEqual([])
  },
)

shows('a PUBLISH that is not allowed', { v4: '3.3.5-2', v5: '3.4.2-1 3.5.2-1 4.3.3-9' }, async (version) => {
  const foreign = `devices/${freshName('other')}/telemetry`
  for (const qos of [1, 2] as const) {
    const peer = await device(version)
    peer.send({
      cmd: 'publish',
      topic: foreign,
      payload: '1',
      qos,
      messageId: 7,
      dup: false,
      retain: false,
    } as Packet)
    if (version === 4) {
      expect(await peer.ended()).toEqual([])
      continue
    }
    const cmd = qos === 1 ? 'puback' : 'pubrec'
    expect(await peer.next(cmd)).toMatchObject({ messageId: 7, reasonCode: 0x87 })
    await peer.publish(`devices/${DEVICE}/telemetry`, '{"a": 1}', qos, { messageId: 7 }) // the identifier is free
  }
})

shows('a SUBSCRIBE that is not allowed', { v4: '3.8.4-5', v5: '3.8.4-7' }, async (version) => {
  const peer = await device(version)
  const failure = version === 4 ? 0x80 : 0x87
  for (const filter of ['#', 'devices/+/commands', `devices/${DEVICE}x/commands`]) {
    expect(await peer.subscribe(filter, 1)).toEqual([failure])
  }
  expect(await peer.subscribe(`devices/${DEVICE}/#`, 1)).toEqual([1])
})
