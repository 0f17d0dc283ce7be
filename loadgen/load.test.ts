/** Whole runs over real sockets against servers that behave, and servers that do not. */

import uws from 'uWebSockets.js'
import { afterEach, describe, expect, test } from 'vitest'
import { type LoadRun, runLoad } from './load.ts'
import type { LoadOptions } from './load-options.ts'
import { MqttSink, type SinkBehaviour } from './mqtt-sink.ts'
import { deviceName, type TelemetryPlan, telemetryTsMs, telemetryValue } from './telemetry.ts'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

async function loadSink(behaviour: SinkBehaviour, options: Omit<LoadOptions, 'address'>): Promise<LoadRun> {
  const sink = new MqttSink(behaviour)
  const port = await sink.listen()
  closers.push(() => sink.close())
  return runLoad({ address: { host: '127.0.0.1', port }, drainMs: 5000, ...options })
}

/** Each message that must have been published, as `topic payload`. */
function expectedMessages(run: LoadRun): Set<string> {
  const messages = new Set<string>()
  const { plan } = run
  for (const { connection, sent } of run.outcomes) {
    const devices = Math.ceil((plan.devices - connection) / plan.connections)
    for (let message = 0; message < sent; message++) {
      const device = (message % devices) * plan.connections + connection
      const seq = Math.floor(message / devices)
      messages.add(`devices/${deviceName(plan, device)}/telemetry ${payloadText(plan, device, seq)}`)
    }
  }
  return messages
}

function payloadText(plan: TelemetryPlan, device: number, seq: number): string {
  const m1 = telemetryValue(plan, device, seq, 1).toFixed(3)
  return `{"ts":${telemetryTsMs(plan, seq)},"seq":${telemetryValue(plan, device, seq, 0)},"m1":${m1}}`
}

describe('runLoad', () => {
  const shapes: Omit<LoadOptions, 'address'>[] = [
    { messages: 3000, connections: 7, devices: 40 },
    { messages: 3000, connections: 7, devices: 40, qos: 0, perWrite: 64 },
    { messages: 1001, connections: 3, perWrite: 1, window: 1, protocol: 5 },
    { messages: 2000, connections: 10, devices: 11, rate: 20_000, protocol: 5 },
    { messages: 3000, connections: 5, devices: 5, threads: 2 },
    { messages: 3, connections: 10 },
  ]
  for (const options of shapes) {
    test(`every message once: ${JSON.stringify(options)}`, async () => {
      const published: string[] = []
      const onPublish: SinkBehaviour['onPublish'] = ({ topic, payload, dup }) => {
        published.push(`${topic} ${payload}${dup ? ' dup' : ''}`)
        return 0
      }
      const run = await loadSink({ onPublish }, options)
      const { counters } = run.report
      const acknowledged = options.qos === 0 ? 0 : options.messages
      expect(counters).toMatchObject({
        sent: options.messages,
        acknowledged,
        resent: 0,
        inFlight: 0,
        strayAcks: 0,
      })
      expect(published.length).toBe(options.messages)
      expect(new Set(published)).toEqual(expectedMessages(run))
      expect(run.report.latency.count).toBe(acknowledged)
      expect(run.report.reasons).toEqual({})
    })
  }

  test('a duration ends the run, and so does a signal', async () => {
    const short = await loadSink({}, { durationMs: 150, rate: 1000, connections: 2 })
    expect(short.report.counters.sent).toBeGreaterThan(0)
    expect(short.report.counters.acknowledged).toBe(short.report.counters.sent)
    const sink = new MqttSink()
    const port = await sink.listen()
    closers.push(() => sink.close())
    const signal = AbortSignal.timeout(100)
    const options = { address: { host: '127.0.0.1', port }, durationMs: 60_000, rate: 1000 }
    const run = await runLoad(options, { signal })
    expect(run.report.counters.inFlight).toBe(0)
    expect(run.report.counters.acknowledged).toBe(run.report.counters.sent)
  })

  test('acknowledgements out of order', async () => {
    const run = await loadSink({ isReversed: true }, { messages: 2000, connections: 4 })
    expect(run.report.counters).toMatchObject({ acknowledged: 2000, strayAcks: 0, inFlight: 0 })
    expect(run.report.counters.overtakingAcks).toBeGreaterThan(0)
  })

  test('a small Receive Maximum is kept', async () => {
    let inFlight = 0
    let most = 0
    const behaviour: SinkBehaviour = {
      connack: () => ({ properties: { receiveMaximum: 3 } }),
      onPublish: () => {
        most = Math.max(most, ++inFlight)
        queueMicrotask(() => inFlight--)
        return 0
      },
    }
    const run = await loadSink(behaviour, { messages: 300, connections: 1, protocol: 5 })
    expect(run.report.counters.acknowledged).toBe(300)
    expect(most).toBeLessThanOrEqual(3)
  })

  test('a refused CONNECT is told with its code', async () => {
    const refusing = loadSink({ connack: () => ({ returnCode: 5 }) }, { messages: 5 })
    await expect(refusing).rejects.toThrow(/cannot connect to .*: CONNACK 0x05/)
  })

  test('messages that are never answered end in the report, not in a hang', async () => {
    let seen = 0
    const onPublish: SinkBehaviour['onPublish'] = () => (++seen > 95 ? 'hold' : 0)
    const run = await loadSink({ onPublish }, { messages: 100, connections: 1, drainMs: 200 })
    expect(run.report.counters).toMatchObject({ sent: 100, acknowledged: 95, inFlight: 5 })
    expect(run.outcomes[0]).toMatchObject({ sent: 100, answered: 95 })
  })

  test('after a lost connection: new publishes without DUP, in ranges that may be stored twice', async () => {
    const copies = new Map<string, number>()
    let seen = 0
    const onPublish: SinkBehaviour['onPublish'] = ({ payload, dup }) => {
      expect(dup).toBe(false)
      copies.set(String(payload), (copies.get(String(payload)) ?? 0) + 1)
      return ++seen % 350 === 0 ? 'cut' : 0
    }
    const run = await loadSink({ onPublish }, { messages: 1000, connections: 1 })
    const { counters, reasons } = run.report
    expect(counters).toMatchObject({ sent: 1000, acknowledged: 1000, inFlight: 0, connected: 0 })
    expect(counters.connectionsLost).toBeGreaterThan(0)
    expect(Object.keys(reasons).every((reason) => reason.startsWith('lost: '))).toBe(true)
    expect(copies.size).toBe(1000)
    const allowed = (seq: number) =>
      1 + run.outcomes[0].republished.filter(([from, to]) => seq >= from && seq < to).length
    for (const [payload, count] of copies) {
      expect(count).toBeLessThanOrEqual(allowed(JSON.parse(payload).seq - 1_000_000_000))
    }
  })

  test('with a kept session: the same packet ids with DUP', async () => {
    const ids = new Map<string, number | undefined>()
    let isCut = false
    let redelivered = 0
    const behaviour: SinkBehaviour = {
      connack: () => ({ sessionPresent: isCut }),
      onPublish: ({ payload, messageId, dup }, { clean }) => {
        expect(clean).toBe(false)
        const known = ids.get(String(payload))
        if (known !== undefined) expect([messageId, dup]).toEqual([known, true])
        if (dup) redelivered++
        ids.set(String(payload), messageId)
        if (isCut || ids.size < 500) return 0
        isCut = true
        return 'cut'
      },
    }
    const run = await loadSink(behaviour, { messages: 1000, connections: 1, protocol: 5, keepSession: true })
    expect(run.report.counters).toMatchObject({ sent: 1000, acknowledged: 1000, connectionsLost: 1 })
    expect(run.report.counters.resent).toBe(redelivered)
    expect(redelivered).toBeGreaterThan(0)
    expect(run.outcomes[0].republished).toEqual([])
  })

  test('without reconnect a lost connection is given up', async () => {
    let seen = 0
    const onPublish: SinkBehaviour['onPublish'] = () => (++seen === 50 ? 'cut' : 0)
    const run = await loadSink({ onPublish }, { messages: 1000, connections: 2, reconnect: false })
    expect(run.report.counters).toMatchObject({ connectionsLost: 1, connectionsGivenUp: 1 })
    expect(run.report.counters.sent).toBeLessThan(1000)
  })
})

describe('runLoad over WebSocket', () => {
  function startServer(behaviour: uws.WebSocketBehavior<{ path: string }>): number {
    const app = uws.App()
    const upgrade: uws.WebSocketBehavior<{ path: string }>['upgrade'] = (response, request, context) => {
      const header = (name: string) => request.getHeader(name)
      const path = `${request.getUrl()}?${request.getQuery()}`
      const key = header('sec-websocket-key')
      response.upgrade(
        { path },
        key,
        header('sec-websocket-protocol'),
        header('sec-websocket-extensions'),
        context,
      )
    }
    let port = 0
    app.ws('/*', { upgrade, ...behaviour }).listen('127.0.0.1', 0, (socket) => {
      port = socket ? uws.us_socket_local_port(socket) : 0
    })
    closers.push(() => app.close())
    return port
  }

  test('the plain door: JSON frames, cumulative acknowledgements, the same session after a cut', async () => {
    const stored = new Map<string, Map<number, string>>()
    let seen = 0
    let cuts = 0
    const port = startServer({
      message: (socket, bytes) => {
        const { path } = socket.getUserData()
        const frame = JSON.parse(Buffer.from(bytes).toString())
        const session = stored.get(path) ?? new Map<number, string>()
        stored.set(path, session)
        const text = JSON.stringify(frame.data)
        expect(session.get(frame.seq) ?? text).toBe(text)
        session.set(frame.seq, text)
        if (++seen === 300 || seen === 700) {
          cuts++
          socket.close()
        } else if (seen % 5 === 0 || seen > 900) {
          socket.send(JSON.stringify({ ack: frame.seq }))
        }
      },
    })
    const options = {
      address: { host: '127.0.0.1', port },
      door: 'ws',
      messages: 1000,
      connections: 4,
    } as const
    const run = await runLoad({ ...options, window: 50, drainMs: 5000 })
    expect(run.report.counters).toMatchObject({
      sent: 1000,
      acknowledged: 1000,
      connectionsLost: cuts,
      strayAcks: 0,
    })
    expect(cuts).toBe(2)
    const { plan } = run
    expect(stored.size).toBe(4)
    for (let device = 0; device < 4; device++) {
      const session = stored.get(`/ingest/${deviceName(plan, device)}?session=${plan.prefix}s`)
      const expected = Array.from({ length: 250 }, (_, seq) => JSON.parse(payloadText(plan, device, seq)))
      expect([...(session?.values() ?? [])].map((text) => JSON.parse(text))).toEqual(expected)
    }
  })

  test('a server that is no WebSocket server, or does not know the path', async () => {
    const port = startServer({ upgrade: (response) => void response.writeStatus('403 Forbidden').end() })
    const address = { host: '127.0.0.1', port }
    const refused = runLoad({ address, door: 'mqtt-ws', messages: 5 })
    await expect(refused).rejects.toThrow(/the handshake was answered "HTTP\/1\.1 403 Forbidden"/)
  })
})
