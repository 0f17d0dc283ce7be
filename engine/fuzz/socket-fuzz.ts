/**
 * Fuzzing over real sockets: mutated packets by connections that come and go, and first packets that claim
 * 100 MB and go on sending. A client that behaves is served throughout.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import mqtt from 'mqtt-packet'
import { Prng } from '../../base/prng.ts'
import { mutatePacket } from '../../codecs/mqtt/packet-mutation.ts'
import { SamplePackets } from '../../codecs/mqtt/sample-packets.ts'
import { connectPacket, encode, publishPacket } from '../gateway/gateway-harness.ts'
import { type RunningGateway, runGateway, until } from '../gateway/socket-harness.ts'
import { FuzzFailure } from './gateway-fuzz.ts'

const AT_ONCE = 20
const PACKETS_PER_CONNECTION = 20
const CLAIMS = 100
const CLAIM_SIZE_BYTES = 100_000_000
const CLAIM_SENT_BYTES = 1 << 20
const GROWN_SIZE_BYTES_MAX = 20_000_000

export interface SocketFuzzTally {
  connections: number
  /** Resident memory over all claims of 100 MB. */
  grownSizeBytes: number
}

/** Throws FuzzFailure. */
export async function fuzzSockets(seed: number, connections: number): Promise<SocketFuzzTally> {
  const running = await runGateway({ connectTimeoutMs: 1000 })
  try {
    const prng = new Prng(seed)
    let count = 0
    const lane = async (): Promise<void> => {
      while (count++ < connections) await sendMutations(running, prng)
    }
    await Promise.all(Array.from({ length: AT_ONCE }, lane))
    await isServed(running, `seed ${seed}: after mutations`)
    const grownSizeBytes = await claimMuch(running)
    await isServed(running, 'after claims of 100 MB')
    if (grownSizeBytes > GROWN_SIZE_BYTES_MAX) {
      throw new FuzzFailure(`${CLAIMS} claims of 100 MB took ${grownSizeBytes} bytes of memory`)
    }
    return { connections, grownSizeBytes }
  } finally {
    await running.stop()
  }
}

async function open(running: RunningGateway): Promise<Socket> {
  const socket = connect(running.mqttPort, '127.0.0.1')
  await once(socket, 'connect')
  socket.on('error', () => {}) // it may be reset while it still sends
  return socket.resume()
}

async function sendMutations(running: RunningGateway, prng: Prng): Promise<void> {
  const socket = await open(running)
  const protocolVersion = prng.unit() < 0.5 ? 4 : 5
  const samples = new SamplePackets(prng)
  if (prng.unit() < 0.9) socket.write(encode(protocolVersion, connectPacket({ version: protocolVersion })))
  for (let i = 0; i < PACKETS_PER_CONNECTION && socket.writable; i++) {
    const packet = mqtt.generate(samples.fromClient(protocolVersion), { protocolVersion })
    if (packet.length < 16_000) socket.write(mutatePacket(packet, prng))
    if (prng.unit() < 0.3) await new Promise((resolve) => setImmediate(resolve))
  }
  if (prng.unit() < 0.5) socket.end()
  else socket.destroy()
  if (!socket.closed) await once(socket, 'close')
}

/** Resident memory that the claims took. */
async function claimMuch(running: RunningGateway): Promise<number> {
  const head = Buffer.from([0x10, ...varint(CLAIM_SIZE_BYTES), 0, 4])
  const filler = Buffer.alloc(CLAIM_SENT_BYTES)
  const before = process.memoryUsage().rss
  const sockets = await Promise.all(Array.from({ length: CLAIMS }, () => open(running)))
  for (const socket of sockets) {
    socket.write(head)
    socket.write(filler)
  }
  await until(() => sockets.every(({ closed }) => closed), 'the end of all claims')
  return process.memoryUsage().rss - before
}

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)]
}

async function isServed(running: RunningGateway, when: string): Promise<void> {
  const socket = await open(running)
  const answers: Buffer[] = []
  socket.on('data', (bytes) => answers.push(bytes))
  socket.write(
    encode(4, connectPacket({ clientId: 'neighbour' }), publishPacket('devices/n/telemetry', '{}', 7)),
  )
  await until(
    () => Buffer.concat(answers).length >= 8,
    `${when}: CONNACK and PUBACK of a client that behaves`,
  )
  socket.destroy()
}
