/** MQTT in WebSocket frames (chapter 6). */
import { once } from 'node:events'
import { request } from 'node:http'
import { generate, type Packet, parser } from 'mqtt-packet'
import { expect } from 'vitest'
import { freshName, type Version } from './peer.ts'
import { startServer } from './server.ts'
import { shows } from './shows.ts'

const server = startServer()

async function openSocket(): Promise<WebSocket> {
  const socket = new WebSocket(`ws://${server.engine.addresses.ws}/mqtt`, ['mqtt'])
  socket.binaryType = 'arraybuffer'
  await once(socket, 'open')
  return socket
}

function connectPacket(version: Version): Buffer {
  const clientId = freshName('ws')
  return generate(
    {
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: version,
      clean: true,
      keepalive: 0,
      clientId,
    } as Packet,
    { protocolVersion: version },
  )
}

shows('a text frame ends the connection', { v4: '6.0.0-1', v5: '6.0.0-1' }, async (version) => {
  const socket = await openSocket()
  socket.send(Buffer.from(connectPacket(version)).toString('latin1'))
  const [{ code }] = (await once(socket, 'close')) as [{ code: number }]
  expect(code).toBe(1003)
})

shows('packets begin and end anywhere in frames', { v4: '6.0.0-2', v5: '6.0.0-2' }, async (version) => {
  const socket = await openSocket()
  const answers: string[] = []
  const packets = parser({ protocolVersion: version })
  packets.on('packet', ({ cmd }) => answers.push(cmd))
  const done = new Promise<void>((resolve) => {
    socket.addEventListener('message', ({ data }) => {
      packets.parse(Buffer.from(data as ArrayBuffer))
      if (answers.length === 4) resolve()
    })
  })
  const bytes = Buffer.concat([connectPacket(version), Buffer.from([0xc0, 0, 0xc0, 0])])
  for (const byte of bytes.subarray(0, -3)) socket.send(Buffer.from([byte]))
  socket.send(Buffer.concat([bytes.subarray(-3), Buffer.from([0xc0, 0])]))
  await done
  expect(answers).toEqual(['connack', 'pingresp', 'pingresp', 'pingresp'])
  socket.close()
})

shows('the subprotocol is mqtt', { v4: '6.0.0-3 6.0.0-4', v5: '6.0.0-3 6.0.0-4' }, async () => {
  const socket = await openSocket()
  expect(socket.protocol).toBe('mqtt')
  socket.close()
  const [host, port] = server.engine.addresses.ws.split(':')
  const upgrade = request({
    host,
    port,
    path: '/mqtt',
    headers: {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': Buffer.alloc(16).toString('base64'),
      'Sec-WebSocket-Protocol': 'chat, mqtt',
    },
  })
  upgrade.end()
  const [response, stream] = await once(upgrade, 'upgrade')
  expect(response.headers['sec-websocket-protocol']).toBe('mqtt')
  stream.destroy()
})
