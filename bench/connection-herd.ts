/**
 * The process of many idle MQTT connections, forked by the bench `connections`: it connects when told to, as
 * fast as it can, and cuts all of them when told to, without a word, as a power cut does. A socket each, and
 * nothing kept per connection: what the bench measures is the engine.
 */
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from '../base/assert.ts'

export interface HerdRequest {
  port: number
  count: number
}

export interface HerdReport {
  /** Tries that the engine refused, or was too busy to take: each was followed by another one. */
  retries: number
  seconds: number
}

/** Connects that wait for their CONNACK at a time. */
const UNANSWERED_MAX = 1000
const KEEP_ALIVE_S = 3600
const RETRY_MS = 100

const sockets = new Set<Socket>()

function connectPacketOf(clientId: string): Buffer {
  const head = [
    0x10,
    12 + clientId.length,
    0,
    4,
    0x4d,
    0x51,
    0x54,
    0x54,
    4,
    2,
    KEEP_ALIVE_S >> 8,
    KEEP_ALIVE_S & 0xff,
  ]
  return Buffer.concat([Buffer.from([...head, 0, clientId.length]), Buffer.from(clientId)])
}

/** True with a CONNACK that accepts. */
function connectOne({ port }: HerdRequest, clientId: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => socket.write(connectPacketOf(clientId)))
    socket.once('data', (bytes) => resolve(bytes[0] === 0x20 && bytes[3] === 0))
    socket.on('error', () => resolve(false))
    socket.once('close', () => {
      sockets.delete(socket)
      resolve(false)
    })
    sockets.add(socket)
  })
}

async function connectAll(request: HerdRequest): Promise<HerdReport> {
  // A reset leaves no port behind that waits: 18,000 more would not be free.
  for (const socket of sockets) socket.resetAndDestroy()
  sockets.clear()
  const report: HerdReport = { retries: 0, seconds: 0 }
  const startMs = performance.now()
  let next = 0
  const connectInTurn = async (): Promise<void> => {
    while (next < request.count) {
      const clientId = `idle-${next++}`
      while (!(await connectOne(request, clientId))) {
        report.retries++
        await sleep(RETRY_MS)
      }
    }
  }
  await Promise.all(Array.from({ length: UNANSWERED_MAX }, connectInTurn))
  report.seconds = (performance.now() - startMs) / 1000
  return report
}

process.on('message', (request: HerdRequest) => {
  void connectAll(request).then((report) => {
    assert(process.send !== undefined, 'connection-herd.ts is forked')
    process.send(report)
  })
})
process.on('disconnect', () => process.exit(0))
