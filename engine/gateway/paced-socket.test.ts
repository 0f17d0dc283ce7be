import { connect } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { connectPacket, encode } from './gateway-harness.ts'
import { openSocket, type RunningGateway, runGateway, until } from './socket-harness.ts'

const COUNT = 500
const PER_TURN = 64

let running: RunningGateway

beforeEach(async () => {
  running = await runGateway()
})

afterEach(() => running.stop())

async function openMany() {
  const sockets = await Promise.all(Array.from({ length: COUNT }, () => openSocket(running.mqttPort)))
  for (const [i, socket] of sockets.entries()) socket.write(encode(4, connectPacket({ clientId: `c${i}` })))
  await until(() => running.control.status().connections === COUNT, 'all connections')
  return sockets
}

test.each([
  ['cut', 'resetAndDestroy'],
  ['ended', 'end'],
] as const)('thousands %s at once leave a few a turn, and all of them leave', async (_, how) => {
  const sockets = await openMany()
  let mostInATurn = 0
  let before = COUNT
  let isOver = false
  const look = (): void => {
    const now = running.control.status().connections
    mostInATurn = Math.max(mostInATurn, before - now)
    before = now
    if (!isOver) setImmediate(look)
  }
  for (const socket of sockets) socket[how]()
  look()
  await until(() => running.control.status().connections === 0, 'the end of all')
  isOver = true
  expect(mostInATurn).toBeLessThanOrEqual(2 * PER_TURN)
  expect(running.control.status().disconnectsByReason).toEqual({ lost: COUNT })
})

test('a stop does not wait for them', async () => {
  const sockets = await openMany()
  for (const socket of sockets) socket.resetAndDestroy()
  await running.stop()
  expect(running.control.status().connections).toBe(0)
  running = await runGateway()
  connect(running.mqttPort, '127.0.0.1').destroy()
})
