/** The process that the bench `doors` forks: sends QoS 0 messages by plain TCP or TLS, then waits for its PINGRESPs. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import mqtt from 'mqtt-packet'
import { assert } from '../base/assert.ts'

export interface DoorLoad {
  port: number
  isEncrypted: boolean
  connections: number
  /** Of each connection. */
  writes: number
  perWrite: number
}

const PAYLOAD = '{"t":21.5,"h":40.25}'
const CONNACK_SIZE_BYTES = 4
const PINGRESP_SIZE_BYTES = 2

let sockets: Socket[] = []

async function open({ port, isEncrypted }: DoorLoad, index: number): Promise<Socket> {
  const to = { port, host: '127.0.0.1', noDelay: true }
  const socket = isEncrypted ? connectTls({ ...to, rejectUnauthorized: false }) : connect(to)
  await once(socket, isEncrypted ? 'secureConnect' : 'connect')
  const clientId = `load-${index}`
  const connack = received(socket, CONNACK_SIZE_BYTES)
  socket.write(
    mqtt.generate({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId }),
  )
  await connack
  return socket
}

function received(socket: Socket, sizeBytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let size = 0
    const onData = (bytes: Buffer): void => {
      size += bytes.length
      if (size < sizeBytes) return
      socket.off('data', onData)
      resolve()
    }
    socket.on('data', onData)
    socket.once('close', () => reject(new Error('the gateway closed a connection')))
  })
}

async function send(socket: Socket, { writes, perWrite }: DoorLoad, index: number): Promise<void> {
  const topic = `devices/load-${index}/telemetry`
  const message = mqtt.generate({
    cmd: 'publish',
    topic,
    payload: PAYLOAD,
    qos: 0,
    dup: false,
    retain: false,
  })
  const batch = Buffer.alloc(message.length * perWrite, message)
  for (let count = 0; count < writes; count++) {
    if (!socket.write(batch)) await once(socket, 'drain')
    else await new Promise((resolve) => setImmediate(resolve)) // a write of its own, as from a device
  }
  const pingresp = received(socket, PINGRESP_SIZE_BYTES)
  socket.write(mqtt.generate({ cmd: 'pingreq' }))
  await pingresp
}

/** First it connects and says so, then it sends and says so. */
process.on('message', async (request: DoorLoad) => {
  assert(process.send !== undefined, 'door-load.ts is forked')
  if (sockets.length === 0) {
    sockets = await Promise.all(
      Array.from({ length: request.connections }, (_, index) => open(request, index)),
    )
  } else {
    await Promise.all(sockets.map((socket, index) => send(socket, request, index)))
    for (const socket of sockets) socket.removeAllListeners('close').destroy()
    sockets = []
  }
  process.send('done')
})
process.on('disconnect', () => process.exit(0))
