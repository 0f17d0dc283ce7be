/** The rules of sessions, one by one, over the step machine. */
import { expect, test } from 'vitest'
import { encodeFilters, type WillMessage } from '../../codecs/session/messages.ts'
import { AckKind, NO_EXPIRY, SessionRecordKind, sessionRecord } from '../../codecs/session/record.ts'
import { filterOf, MachineFixture, publishRecord } from './machine-fixture.ts'

function willOf(topic: string, payload: string, fields: Partial<WillMessage> = {}): WillMessage {
  return {
    topic: Buffer.from(topic),
    payload: Buffer.from(payload),
    properties: new Uint8Array(0),
    qos: 1,
    isRetain: false,
    delayS: 0,
    expiryS: NO_EXPIRY,
    ...fields,
  }
}

function payloads(fixture: MachineFixture): string[] {
  return fixture.delivered().map(({ payload }) => payload)
}

test('what is published while a client is away waits for it, in order', () => {
  const fixture = new MachineFixture()
  const { handle, isPresent } = fixture.connect(1, 'a')!
  expect(isPresent).toBe(false)
  expect(fixture.subscribe(1, handle, { filter: 't/#', qos: 1 })).toEqual([1])
  fixture.disconnect(1, handle)
  for (const payload of ['1', '2', '3']) fixture.publish('t/x', payload)
  expect(fixture.delivered()).toEqual([])
  expect(fixture.connect(2, 'a')).toEqual({ handle, isPresent: true })
  const delivered = fixture.delivered()
  expect(delivered.map(({ payload, isDup }) => [payload, isDup])).toEqual([
    ['1', false],
    ['2', false],
    ['3', false],
  ])
  expect(new Set(delivered.map(({ packetId }) => packetId)).size).toBe(3)
})

test('[MQTT-4.4.0-1] what was not acknowledged is sent again, with DUP, its identifier and in order', () => {
  const fixture = new MachineFixture()
  const { handle } = fixture.connect(1, 'a')!
  fixture.subscribe(1, handle, { filter: 't', qos: 2 })
  for (const payload of ['1', '2', '3', '4']) fixture.publish('t', payload, { qos: payload === '3' ? 1 : 2 })
  const [one, two, three, four] = fixture.delivered().map(({ packetId }) => packetId)
  fixture.acknowledge(1, handle, one, AckKind.PUBREC)
  fixture.acknowledge(1, handle, two, AckKind.PUBREC)
  fixture.acknowledge(1, handle, two, AckKind.PUBCOMP)
  expect(fixture.output.take(SessionRecordKind.DELIVER_RELEASE).map(({ packetId }) => packetId)).toEqual([
    one,
    two,
  ])
  fixture.start()
  fixture.connect(2, 'a')
  expect(fixture.output.take(SessionRecordKind.DELIVER_RELEASE).map(({ packetId }) => packetId)).toEqual([
    one,
  ])
  expect(fixture.delivered().map(({ packetId, isDup, qos }) => [packetId, isDup, qos])).toEqual([
    [three, true, 1],
    [four, true, 2],
  ])
})

test('no more than the receive maximum is in flight, and an acknowledgement sends the next', () => {
  const fixture = new MachineFixture()
  const { handle } = fixture.connect(1, 'a', { windowMax: 2 })!
  fixture.subscribe(1, handle, { filter: 't' })
  for (const payload of ['1', '2', '3', '4']) fixture.publish('t', payload)
  const [first] = fixture.delivered()
  fixture.acknowledge(1, handle, first.packetId)
  expect(payloads(fixture)).toEqual(['3'])
  // The next connection takes less: what is in flight comes one by one.
  fixture.start()
  fixture.connect(2, 'a', { windowMax: 1 })
  const [second] = fixture.delivered()
  expect([second.payload, second.isDup]).toEqual(['2', true])
  fixture.acknowledge(2, handle, second.packetId)
  const [third] = fixture.delivered()
  expect([third.payload, third.isDup]).toEqual(['3', true])
  fixture.acknowledge(2, handle, third.packetId)
  expect(fixture.delivered()).toMatchObject([{ payload: '4', isDup: false }])
})

test('a message of QoS 2 that a client sends again before it releases it is taken once', () => {
  const fixture = new MachineFixture()
  const { handle } = fixture.connect(1, 'a')!
  const sender = fixture.connect(2, 'b')!.handle
  fixture.subscribe(1, handle, { filter: 't', qos: 2 })
  const send = (payload: string) => fixture.publish('t', payload, { qos: 2, packetId: 7, publisher: sender })
  send('1')
  send('1')
  fixture.start()
  fixture.connect(3, 'a')
  fixture.connect(4, 'b')
  send('1')
  expect(payloads(fixture)).toEqual(['1', '1']) // the second one with DUP, to the next connection
  fixture.feed(sessionRecord(SessionRecordKind.RELEASE, { handle: sender, packetId: 7, number: 4 }))
  send('2')
  expect(payloads(fixture)).toEqual(['2'])
})

test('a full queue drops the newest, and counts it', () => {
  const fixture = new MachineFixture({ sessionQueueCountMax: 2 })
  const { handle } = fixture.connect(1, 'a')!
  fixture.subscribe(1, handle, { filter: 't' })
  fixture.disconnect(1, handle)
  for (const payload of ['1', '2', '3']) fixture.publish('t', payload)
  expect(fixture.machine.context.dropped.queueFull).toBe(1)
  fixture.connect(2, 'a')
  expect(payloads(fixture)).toEqual(['1', '2'])
})

test('all queues together are bounded; a message that many wait for counts once', () => {
  const fixture = new MachineFixture({ queuedSizeBytesMax: 3000 })
  for (const [index, client] of ['a', 'b', 'c'].entries()) {
    const { handle } = fixture.connect(index + 1, client)!
    fixture.subscribe(index + 1, handle, { filter: 't' })
    fixture.disconnect(index + 1, handle)
  }
  fixture.publish('t', 'x'.repeat(1000))
  expect(fixture.machine.context.queuedSizeBytes).toBe(1001 + 3 * 64)
  fixture.publish('t', 'x'.repeat(1000))
  fixture.publish('t', 'x'.repeat(1000))
  expect(fixture.machine.context.dropped.allQueuesFull).toBe(3)
  expect(fixture.machine.context.queuedCount).toBe(6)
})

test('a session ends when its expiry is over, and not before', () => {
  const fixture = new MachineFixture()
  const { handle } = fixture.connect(1, 'a', { expiryS: 100 })!
  fixture.subscribe(1, handle, { filter: 't' })
  fixture.disconnect(1, handle, true, 100)
  fixture.pass(99)
  expect(fixture.machine.sessions.count).toBe(1)
  fixture.pass(1)
  expect(fixture.machine.sessions.count).toBe(0)
  fixture.publish('t', 'nobody')
  expect(fixture.connect(2, 'a')?.isPresent).toBe(false)
})

test('0xffffffff never ends; DISCONNECT may change the expiry', () => {
  const fixture = new MachineFixture()
  const a = fixture.connect(1, 'a', { expiryS: 0xffffffff })!
  const b = fixture.connect(2, 'b', { expiryS: 0xffffffff })!
  fixture.disconnect(1, a.handle, true, 0xffffffff)
  fixture.disconnect(2, b.handle, true, 10)
  fixture.pass(400 * 86_400)
  expect(fixture.connect(3, 'a')?.isPresent).toBe(true)
  expect(fixture.connect(4, 'b')?.isPresent).toBe(false)
})

test('a clean start ends the session of before', () => {
  const fixture = new MachineFixture()
  const { handle } = fixture.connect(1, 'a')!
  fixture.subscribe(1, handle, { filter: 't' })
  fixture.disconnect(1, handle)
  fixture.publish('t', '1')
  expect(fixture.connect(2, 'a', { isClean: true })?.isPresent).toBe(false)
  fixture.publish('t', '2')
  expect(fixture.delivered()).toEqual([])
  expect(fixture.machine.context.queuedCount).toBe(0)
  expect(fixture.machine.context.queuedSizeBytes).toBe(0)
})

test('a message expires while it waits; what is left of its interval goes along', () => {
  const fixture = new MachineFixture()
  const { handle } = fixture.connect(1, 'a')!
  fixture.subscribe(1, handle, { filter: 't' })
  fixture.disconnect(1, handle)
  fixture.publish('t', 'short', { expiryS: 10 })
  fixture.publish('t', 'long', { expiryS: 100 })
  fixture.publish('t', 'forever')
  fixture.pass(10)
  fixture.connect(2, 'a')
  expect(fixture.delivered().map(({ payload, expiryS }) => [payload, expiryS])).toEqual([
    ['long', 90],
    ['forever', NO_EXPIRY],
  ])
  expect(fixture.machine.context.dropped.expired).toBe(1)
})

test('overlapping subscriptions make one delivery with the highest QoS and every identifier', () => {
  const fixture = new MachineFixture()
  const { handle } = fixture.connect(1, 'a')!
  fixture.subscribe(
    1,
    handle,
    { filter: 't/#', qos: 1, identifier: 9 },
    { filter: '+/x', qos: 2, identifier: 4 },
  )
  fixture.publish('t/x', '1', { qos: 2 })
  expect(fixture.delivered()).toMatchObject([{ payload: '1', qos: 2, identifiers: [4, 9] }])
})

test('no local: a client does not hear itself, others do', () => {
  const fixture = new MachineFixture()
  const a = fixture.connect(1, 'a')!.handle
  const b = fixture.connect(2, 'b')!.handle
  fixture.subscribe(1, a, { filter: 't', noLocal: true })
  fixture.subscribe(2, b, { filter: 't', noLocal: true })
  fixture.publish('t', '1', { publisher: a })
  expect(fixture.delivered()).toMatchObject([{ number: 2, payload: '1' }])
})

test('retained messages: handling 0, 1 and 2, the flag, replacement and deletion', () => {
  const fixture = new MachineFixture()
  fixture.publish('r/a', 'old', { isRetain: true })
  fixture.publish('r/a', 'new', { isRetain: true })
  fixture.publish('r/b', 'b', { isRetain: true, qos: 2 })
  fixture.publish('r/c', 'gone', { isRetain: true })
  fixture.publish('r/c', '', { isRetain: true })
  fixture.publish('$own/x', 'hidden', { isRetain: true })
  const { handle } = fixture.connect(1, 'a')!
  fixture.subscribe(1, handle, { filter: '#', qos: 1 })
  expect(
    fixture.delivered().map(({ topic, payload, qos, isRetain }) => [topic, payload, qos, isRetain]),
  ).toEqual([
    ['r/a', 'new', 1, true],
    ['r/b', 'b', 1, true],
  ])
  fixture.subscribe(1, handle, { filter: '#', retainHandling: 1 })
  fixture.subscribe(1, handle, { filter: 'r/+', retainHandling: 2 })
  expect(fixture.delivered()).toEqual([])
  fixture.subscribe(1, handle, { filter: 'r/a', retainHandling: 1, isRetainKept: true })
  expect(payloads(fixture)).toEqual(['new'])
  // Live: the flag is kept only for those that asked for it ([MQTT-3.3.1-12], [MQTT-3.3.1-13]).
  fixture.publish('r/a', 'live', { isRetain: true })
  fixture.publish('r/b', 'live', { isRetain: true })
  expect(fixture.delivered().map(({ topic, isRetain }) => [topic, isRetain])).toEqual([
    ['r/a', true],
    ['r/b', false],
  ])
})

test('a retained message expires, and its room is free again', () => {
  const fixture = new MachineFixture({ retainedCountMax: 1 })
  fixture.publish('r/a', 'a', { isRetain: true, expiryS: 10 })
  fixture.publish('r/b', 'refused', { isRetain: true })
  expect(fixture.machine.context.dropped.retainedFull).toBe(1)
  fixture.pass(11)
  const { handle } = fixture.connect(1, 'a')!
  fixture.subscribe(1, handle, { filter: 'r/#' })
  expect(fixture.delivered()).toEqual([])
  fixture.publish('r/b', 'b', { isRetain: true })
  expect(fixture.machine.retained.count).toBe(1)
  expect(payloads(fixture)).toEqual(['b'])
})

test('a will is sent when its client is lost, after its delay, unless it comes back', () => {
  const fixture = new MachineFixture()
  const watcher = fixture.connect(1, 'watcher')!.handle
  fixture.subscribe(1, watcher, { filter: 'will/#' })
  const a = fixture.connect(2, 'a', { will: willOf('will/a', 'lost', { delayS: 30 }) })!.handle
  fixture.disconnect(2, a, false)
  fixture.pass(29)
  expect(fixture.delivered()).toEqual([])
  fixture.connect(3, 'a', { will: willOf('will/a', 'again', { delayS: 30 }) })
  fixture.pass(100)
  expect(fixture.delivered()).toEqual([])
  fixture.disconnect(3, a, false)
  fixture.pass(30)
  expect(payloads(fixture)).toEqual(['again'])
  expect(fixture.output.take(SessionRecordKind.WILL)).toHaveLength(1)
})

test('a will is forgotten at a normal disconnect', () => {
  const fixture = new MachineFixture()
  const { handle } = fixture.connect(1, 'a', { will: willOf('will/a', 'lost'), expiryS: 0 })!
  fixture.disconnect(1, handle, true, 0)
  expect(fixture.output.take(SessionRecordKind.WILL)).toEqual([])
  expect(fixture.machine.sessions.count).toBe(0)
})

test('the end of a session sends its will before the delay is over', () => {
  const fixture = new MachineFixture()
  const { handle } = fixture.connect(1, 'a', { will: willOf('will/a', 'x', { delayS: 1000 }), expiryS: 10 })!
  fixture.disconnect(1, handle, false, 10)
  fixture.pass(9)
  expect(fixture.output.take(SessionRecordKind.WILL)).toHaveLength(0)
  fixture.pass(1)
  expect(fixture.output.take(SessionRecordKind.WILL)).toHaveLength(1)
  // So does a clean start.
  const b = fixture.connect(2, 'b', { will: willOf('will/b', 'x', { delayS: 1000 }) })!
  fixture.disconnect(2, b.handle, false)
  fixture.connect(3, 'b', { isClean: true })
  expect(fixture.output.take(SessionRecordKind.WILL)).toHaveLength(1)
})

test('a takeover sends a will without delay; one with a delay is dropped when the session goes on', () => {
  const fixture = new MachineFixture()
  fixture.connect(1, 'a', { will: willOf('will/a', 'now') })
  fixture.connect(2, 'a', { will: willOf('will/a', 'later', { delayS: 10 }) })
  expect(fixture.output.take(SessionRecordKind.WILL)).toHaveLength(1)
  fixture.connect(3, 'a')
  fixture.pass(100)
  expect(fixture.output.take(SessionRecordKind.WILL)).toHaveLength(0)
})

test('wills fire after a restart, with their delay counted from there', () => {
  const fixture = new MachineFixture()
  fixture.connect(1, 'a', { will: willOf('will/a', 'now'), expiryS: 0 })
  fixture.connect(2, 'b', { will: willOf('will/b', 'later', { delayS: 20, isRetain: true }) })
  fixture.timeMs += 60_000
  fixture.start()
  expect(fixture.output.take(SessionRecordKind.WILL)).toHaveLength(1)
  expect(fixture.machine.sessions.count).toBe(1)
  fixture.pass(20)
  expect(fixture.output.take(SessionRecordKind.WILL)).toHaveLength(1)
  expect(fixture.machine.retained.count).toBe(1)
})

test('the records of an older connection mean nothing after a takeover', () => {
  const fixture = new MachineFixture()
  const { handle } = fixture.connect(1, 'a')!
  fixture.subscribe(1, handle, { filter: 't' })
  fixture.connect(2, 'a')
  fixture.disconnect(1, handle)
  fixture.publish('t', '1')
  expect(fixture.delivered()).toMatchObject([{ number: 2, payload: '1' }])
  expect(fixture.connect(1, 'a')).toBeNull()
})

test('shared subscriptions: members in turn, one message to one of them', () => {
  const fixture = new MachineFixture()
  for (const [index, client] of ['a', 'b', 'c'].entries()) {
    const { handle } = fixture.connect(index + 1, client)!
    expect(fixture.subscribe(index + 1, handle, { filter: '$share/g/t/+', qos: 1 })).toEqual([1])
  }
  for (let i = 0; i < 6; i++) fixture.publish('t/x', String(i), { qos: i % 2 })
  const delivered = fixture.delivered()
  expect(delivered.map(({ payload }) => payload)).toEqual(['0', '1', '2', '3', '4', '5'])
  expect(delivered.map(({ number }) => number)).toEqual([1, 2, 3, 1, 2, 3])
})

test('shared subscriptions: connected members first, then those whose session waits', () => {
  const fixture = new MachineFixture()
  const a = fixture.connect(1, 'a')!.handle
  const b = fixture.connect(2, 'b')!.handle
  fixture.subscribe(1, a, { filter: '$share/g/t' })
  fixture.subscribe(2, b, { filter: '$share/g/t' })
  fixture.disconnect(1, a)
  for (const payload of ['1', '2']) fixture.publish('t', payload)
  expect(fixture.delivered().map(({ number }) => number)).toEqual([2, 2])
  fixture.disconnect(2, b)
  for (const payload of ['3', '4']) fixture.publish('t', payload)
  fixture.publish('t', 'nobody', { qos: 0 })
  expect(fixture.machine.context.dropped.unshared).toBe(1)
  fixture.connect(3, 'a')
  const first = fixture.delivered()
  fixture.connect(4, 'b')
  const rest = fixture.delivered().filter(({ isDup }) => !isDup)
  expect([...first, ...rest].map(({ payload }) => payload).sort()).toEqual(['3', '4'])
})

test('shared subscriptions: what an ended session leaves goes to others, but not QoS 2 in flight', () => {
  const fixture = new MachineFixture()
  const a = fixture.connect(1, 'a', { expiryS: 0, windowMax: 2 })!.handle
  fixture.subscribe(1, a, { filter: '$share/g/t', qos: 2 })
  fixture.publish('t', 'one', { qos: 1 })
  fixture.publish('t', 'two', { qos: 2 })
  fixture.publish('t', 'waits', { qos: 2 })
  expect(payloads(fixture)).toEqual(['one', 'two'])
  const b = fixture.connect(2, 'b')!.handle
  fixture.subscribe(2, b, { filter: '$share/g/t', qos: 2 })
  fixture.disconnect(1, a, true, 0)
  expect(
    fixture
      .delivered()
      .map(({ number, payload }) => [number, payload])
      .sort(),
  ).toEqual([
    [2, 'one'],
    [2, 'waits'],
  ])
})

test('a client without a kept session gets retained messages when it asks', () => {
  const fixture = new MachineFixture()
  fixture.publish('r/a', 'a', { isRetain: true, qos: 1 })
  fixture.feed(publishRecord('r/b', 'b', { isRetain: true, qos: 2 }))
  const state = fixture.state()
  fixture.feed(retainedRequest(5, { filter: 'r/+', qos: 1, identifier: 3 }))
  expect(fixture.delivered()).toMatchObject([
    { number: 5, payload: 'a', qos: 1, isRetain: true, packetId: 0, identifiers: [3] },
    { number: 5, payload: 'b', qos: 1, isRetain: true, packetId: 0, identifiers: [3] },
  ])
  expect(fixture.state()).toEqual(state)
})

test('a clock that is set back stands still, one that is set forward again goes on', () => {
  const fixture = new MachineFixture()
  const { handle } = fixture.connect(1, 'a', { expiryS: 100 })!
  fixture.disconnect(1, handle, true, 100)
  fixture.pass(-1_000_000)
  fixture.pass(99)
  expect(fixture.machine.sessions.count).toBe(1)
  fixture.pass(1)
  expect(fixture.machine.sessions.count).toBe(0)
})

function retainedRequest(number: number, filter: Parameters<typeof filterOf>[0]) {
  return sessionRecord(SessionRecordKind.RETAINED, { number, body: encodeFilters([filterOf(filter)]) })
}
