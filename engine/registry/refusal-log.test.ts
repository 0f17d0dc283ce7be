import { expect, test } from 'vitest'
import type { Refusal } from './credentials.ts'
import { makeToken } from './device-token.ts'
import { RefusalLog } from './refusal-log.ts'

function refusal(fields: Partial<Refusal> = {}): Refusal {
  const standard = { what: 'connect' as const, reason: 'wrong-password', client: 'c', address: '', topic: '' }
  return { ...standard, device: 'pump', count: 1, ...fields }
}

test('the same thing is told once in an interval, with how often it happened', () => {
  const log = new RefusalLog(10_000)
  log.note(refusal())
  log.note(refusal({ client: 'another' }))
  log.note(refusal({ reason: 'disabled' }))
  expect(log.due(0).map(({ reason, count }) => [reason, count])).toEqual([
    ['wrong-password', 2],
    ['disabled', 1],
  ])
  log.note(refusal({ count: 5 }))
  expect(log.due(9999)).toEqual([])
  expect(log.due(10_000)).toMatchObject([{ reason: 'wrong-password', count: 5 }])
  expect(log.due(60_000)).toEqual([])
})

test('of a flood with ever new names the first are told, and the others counted', () => {
  const log = new RefusalLog(1000)
  for (let i = 0; i < 100_000; i++) log.note(refusal({ device: `d-${i}`, reason: 'unknown-device' }))
  let counted = 0
  for (let nowMs = 0; nowMs < 100_000; nowMs += 1000) {
    const told = log.due(nowMs)
    expect(told.length).toBeLessThanOrEqual(21)
    for (const { count } of told) counted += count
  }
  expect(counted).toBe(100_000)
})

test('what looks like a token is not told, and nothing is told at length', () => {
  const log = new RefusalLog(1000)
  const token = makeToken()
  const jwt = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl'
  log.note(refusal({ device: token, client: jwt, topic: `devices/${token}/telemetry` }))
  log.note(refusal({ device: 'x'.repeat(5000) }))
  const told = log.due(0)
  expect(JSON.stringify(told)).not.toContain(token)
  expect(JSON.stringify(told)).not.toContain(jwt)
  expect(told[1].device).toHaveLength(131)
})
