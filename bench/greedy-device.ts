/**
 * The process of one device that wants to send far more than it may, forked by the bench `budget`: it offers
 * messages at the rate it is told, as fast as its socket takes them, until it is told 0.
 */
import { connect, type Socket } from 'node:net'
import mqtt from 'mqtt-packet'
import { assert } from '../base/assert.ts'

export interface GreedyRequest {
  port: number
  /** 0 ends it. */
  messagesPerS: number
}

/** Once it is over. */
export interface GreedyReport {
  sent: number
}

const INTERVAL_MS = 2
const UNSENT_SIZE_BYTES_MAX = 1 << 20

let socket: Socket | null = null
let timer: NodeJS.Timeout | undefined
let sent = 0

function start({ port, messagesPerS }: GreedyRequest): void {
  const topic = 'devices/greedy/telemetry'
  const message = mqtt.generate({
    cmd: 'publish',
    topic,
    payload: '{"x":1}',
    qos: 0,
    dup: false,
    retain: false,
  })
  const perInterval = Math.ceil((messagesPerS * INTERVAL_MS) / 1000)
  const batch = Buffer.alloc(message.length * perInterval, message)
  sent = 0
  socket = connect(port, '127.0.0.1')
  socket.resume()
  socket.write(
    mqtt.generate({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: true,
      clientId: 'greedy',
    }),
  )
  timer = setInterval(() => {
    if (socket === null || socket.writableLength > UNSENT_SIZE_BYTES_MAX) return
    socket.write(batch)
    sent += perInterval
  }, INTERVAL_MS)
}

function end(): void {
  clearInterval(timer)
  socket?.destroy()
  socket = null
  assert(process.send !== undefined, 'greedy-device.ts is forked')
  process.send({ sent } satisfies GreedyReport)
}

process.on('message', (request: GreedyRequest) => {
  if (request.messagesPerS > 0) start(request)
  else end()
})
process.on('disconnect', () => process.exit(0))
