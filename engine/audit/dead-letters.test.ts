/** Dead letters in a real ClickHouse, replayed to a small MQTT server that can be told to misbehave. */
import { createServer, type Server, type Socket } from 'node:net'
import { generate, type IPublishPacket, parser } from 'mqtt-packet'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { UsageError } from '../cli/command.ts'
import { deadLettersCommand } from '../cli/dead-letters-command.ts'
import { runMillrace } from '../engine-process.ts'
import { openFixture, type StoreFixture } from '../store/store-fixture.ts'
import { connectStore, type StoreTarget } from '../store/target.ts'
import { type LetterFilter, listLetters, nextLetters } from './dead-letters.ts'
import { MqttPublisher, PublishError } from './mqtt-publisher.ts'
import { type Outcome, replayLetters } from './replay.ts'

let fixture: StoreFixture
let target: StoreTarget

beforeAll(async () => {
  fixture = await openFixture()
  target = connectStore({ url: fixture.url })
  await fixture.target.command(
    'ALTER TABLE millrace.dead_letters MODIFY SETTING fsync_after_insert = 0, fsync_part_directory = 0',
  )
})
afterAll(async () => {
  await target.close()
  await fixture.close()
})

const START_MS = 1_700_000_000_000
const COUNT = 250
let insertNumber = 0

/** Letters as SQL rows: arrival, stream, device, topic, reason, payload, shard, position. */
async function insertLetters(select: string): Promise<void> {
  const token = `letters ${insertNumber++}`
  await fixture.target.command(
    `INSERT INTO millrace.dead_letters SETTINGS insert_deduplication_token = '${token}' ${select}`,
  )
}

beforeEach(async () => {
  await insertLetters(`SELECT fromUnixTimestamp64Milli(${START_MS} + intDiv(number, 4)), 'telemetry',
    'd' || toString(number % 5), 'devices/d' || toString(number % 5) || '/telemetry',
    number % 2 = 0 ? 'no JSON' : 'too deep', concat('p', toString(number), char(0, 255, 27)), number % 3, number * 8
    FROM numbers(${COUNT})`)
})
afterEach(() => fixture.target.command('TRUNCATE TABLE millrace.dead_letters'))

async function all(filter: LetterFilter): Promise<string[]> {
  const found: string[] = []
  let place = null
  for (;;) {
    const letters = await nextLetters(target, filter, place, START_MS + 1000, 1e6)
    if (letters.length === 0) return found
    found.push(...letters.map(({ payload }) => Buffer.from(payload).toString('latin1')))
    place = letters[letters.length - 1]
  }
}

const payloadOf = (number: number): string => `p${number}\0\xff\x1b`

test('pages go through all letters once, in the order of arrival, payloads byte for byte', async () => {
  const found = await all({})
  const numbers = found.map((payload) => Number(/^p(\d+)/.exec(payload)?.[1]))
  expect([...numbers].sort((a, b) => a - b)).toEqual(Array.from({ length: COUNT }, (_, number) => number))
  expect(numbers.map((number) => number >> 2)).toEqual(numbers.map((_, index) => index >> 2))
  expect(found[0]).toBe(payloadOf(numbers[0]))
})

test('filters select, alone and together, and are never a part of the statement', async () => {
  expect(await all({ device: 'd3' })).toHaveLength(COUNT / 5)
  expect(await all({ reason: 'no JSON' })).toHaveLength(COUNT / 2)
  expect(await all({ device: 'd3', reason: 'no JSON', stream: 'telemetry' })).toHaveLength(COUNT / 10)
  expect(await all({ sinceMs: START_MS + 50 })).toHaveLength(COUNT - 200)
  const attack = "' OR 1 = 1 --"
  for (const filter of [{ stream: attack }, { device: attack }, { reason: `\\${attack}` }, { device: '' }]) {
    expect(await all(filter)).toEqual([])
    expect(await listLetters(target, filter, 10, 10)).toEqual([])
  }
})

test('a list has the newest first, and the beginning of a payload', async () => {
  const letters = await listLetters(target, { device: 'd4' }, 3, 2)
  expect(letters).toHaveLength(3)
  expect(letters[0]).toMatchObject({
    stream: 'telemetry',
    device: 'd4',
    topic: 'devices/d4/telemetry',
    reason: 'too deep',
    payloadSizeBytes: 7,
    arrivalMs: START_MS + (249 >> 2),
    position: 249 * 8,
  })
  expect(Buffer.from(letters[0].payload).toString('latin1')).toBe('p2')
})

interface PeerBehaviour {
  connack?: { reasonCode?: number; properties?: { receiveMaximum?: number; maximumPacketSize?: number } }
  /** A PUBACK's reason code; `hold` never answers, `cut` ends the connection. */
  onPublish?: (packet: IPublishPacket) => number | 'hold' | 'cut'
  /** Answers come byte by byte. */
  isSlow?: boolean
  /** Sent instead of a CONNACK. */
  garbage?: Uint8Array
}

class Peer {
  published: IPublishPacket[] = []
  unansweredMax = 0
  address = { host: '127.0.0.1', port: 0 }
  #server: Server
  #sockets = new Set<Socket>()
  #behaviour: PeerBehaviour

  private constructor(behaviour: PeerBehaviour) {
    this.#behaviour = behaviour
    this.#server = createServer((socket) => this.#serve(socket))
  }

  static async start(behaviour: PeerBehaviour = {}): Promise<Peer> {
    const peer = new Peer(behaviour)
    await new Promise<void>((resolve) => peer.#server.listen(0, '127.0.0.1', resolve))
    const address = peer.#server.address()
    if (address !== null && typeof address === 'object') peer.address.port = address.port
    return peer
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #serve(socket: Socket): void {
    const { connack, onPublish = () => 0, isSlow, garbage } = this.#behaviour
    this.#sockets.add(socket)
    socket.on('error', () => {})
    const send = (bytes: Uint8Array) => {
      if (isSlow) for (const byte of bytes) socket.write(Uint8Array.of(byte))
      else socket.write(bytes)
    }
    const reader = parser({ protocolVersion: 5 })
    let waiting: Buffer[] = []
    reader.on('packet', (packet) => {
      if (packet.cmd === 'connect') {
        const answer = { cmd: 'connack', sessionPresent: false, reasonCode: 0, ...connack } as const
        send(garbage ?? generate(answer, { protocolVersion: 5 }))
      } else if (packet.cmd === 'publish') {
        this.published.push(packet)
        const reasonCode = onPublish(packet)
        if (reasonCode === 'cut') socket.destroy()
        if (typeof reasonCode !== 'number') return
        const puback = { cmd: 'puback', messageId: packet.messageId, reasonCode } as const
        waiting.push(generate(puback, { protocolVersion: 5 }))
        this.unansweredMax = Math.max(this.unansweredMax, waiting.length)
        if (waiting.length > 1) return
        setTimeout(() => {
          const answers = Buffer.concat(waiting)
          waiting = []
          if (!socket.destroyed) send(answers)
        }, 5)
      }
    })
    socket.on('data', (chunk) => reader.parse(chunk))
  }
}

async function replayTo(
  peer: Peer,
  filter: LetterFilter = {},
  limit = 1e6,
): Promise<{ outcomes: Outcome[]; report: Awaited<ReturnType<typeof replayLetters>> }> {
  const publisher = await MqttPublisher.connect({ address: peer.address, windowMax: 100, timeoutMs: 2000 })
  const outcomes: Outcome[] = []
  try {
    const report = await replayLetters({
      target,
      publisher,
      filter,
      limit,
      lookMs: 0,
      onOutcome: (_, outcome) => outcomes.push(outcome),
    })
    return { outcomes, report }
  } finally {
    await publisher.close()
    await peer.stop()
  }
}

test.each<[PeerBehaviour, LetterFilter, number]>([
  [{}, {}, COUNT],
  [{ isSlow: true }, { device: 'd1' }, COUNT / 5],
])('a replay publishes each payload again, at QoS 1, %j', async (behaviour, filter, count) => {
  const peer = await Peer.start({ ...behaviour, connack: { properties: { receiveMaximum: 7 } } })
  const { outcomes, report } = await replayTo(peer, filter)
  expect(report).toMatchObject({ selected: count, accepted: count, refused: 0, unanswered: 0, fault: null })
  expect(outcomes).toHaveLength(count)
  expect(peer.unansweredMax).toBeLessThanOrEqual(7)
  expect(peer.published.every(({ qos, dup, retain }) => qos === 1 && !dup && !retain)).toBe(true)
  const sent = peer.published.map(({ payload }) => Buffer.from(payload).toString('latin1'))
  expect(sent).toEqual(await all(filter))
  expect(peer.published[0].topic).toMatch(/^devices\/d\d\/telemetry$/)
})

test('only what the filter and the limit select', async () => {
  const peer = await Peer.start()
  const { report } = await replayTo(peer, { device: 'd2' }, 3)
  expect(report).toMatchObject({ selected: 3, accepted: 3 })
  expect(peer.published.map(({ topic }) => topic)).toEqual(Array(3).fill('devices/d2/telemetry'))
})

test('refused, too large and without a topic: each letter has its outcome', async () => {
  await insertLetters(
    `SELECT fromUnixTimestamp64Milli(${START_MS - 10}), 's', 'big', 't', 'r', repeat('x', 5000), 0, 1`,
  )
  await insertLetters(`SELECT fromUnixTimestamp64Milli(${START_MS - 9}), 's', 'wild', 'a/+', 'r', 'x', 0, 2`)
  const peer = await Peer.start({
    connack: { properties: { maximumPacketSize: 1000 } },
    onPublish: ({ topic }) => (topic === 'devices/d1/telemetry' ? 0x87 : 0x10),
  })
  const { outcomes, report } = await replayTo(peer)
  expect(report).toMatchObject({ selected: COUNT + 2, accepted: 200, refused: 50, skipped: 2, unanswered: 0 })
  expect(outcomes.slice(0, 2)).toEqual([
    { kind: 'skipped', reason: 'larger than the peer takes' },
    { kind: 'skipped', reason: 'its topic is none' },
  ])
  expect(outcomes.filter(({ kind }) => kind === 'refused')).toEqual(
    Array(50).fill({ kind: 'refused', reasonCode: 0x87 }),
  )
})

test('a connection that ends leaves what waited unanswered, and sends no more', async () => {
  let count = 0
  const peer = await Peer.start({ onPublish: () => (++count === 30 ? 'cut' : count > 20 ? 'hold' : 0) })
  const { outcomes, report } = await replayTo(peer)
  expect(report.fault).toMatch(/closed the connection|ECONNRESET/)
  expect(report.accepted + report.unanswered).toBe(outcomes.length)
  expect(report.unanswered).toBeGreaterThanOrEqual(10)
  expect(outcomes).toHaveLength(100)
})

test('what becomes a dead letter again is found, by reason; others are not', async () => {
  const peer = await Peer.start({
    onPublish: ({ topic, payload }) => {
      const number = Number(/^p(\d+)/.exec(Buffer.from(payload).toString('latin1'))?.[1])
      const hex = Buffer.from(payload).toString('hex')
      void insertLetters(`SELECT fromUnixTimestamp64Milli(${START_MS + 5000}), 'telemetry', 'd0', '${topic}',
        'still wrong', unhex('${number < 2 ? hex : '00'}'), 0, ${number}`)
      return 0
    },
  })
  const publisher = await MqttPublisher.connect({ address: peer.address, windowMax: 2, timeoutMs: 2000 })
  const report = await replayLetters({
    target,
    publisher,
    filter: {},
    limit: 4,
    lookMs: 1500,
    onOutcome: () => {},
  })
  expect(report).toMatchObject({ accepted: 4, again: { 'still wrong': 2 } })
  await publisher.close()
  await peer.stop()
})

test.each<[PeerBehaviour, RegExp]>([
  [{ connack: { reasonCode: 0x89 } }, /refuses the connection \(reason code 137\)/],
  [{ garbage: Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n') }, /sent no MQTT|closed|no answer/],
  [{ garbage: new Uint8Array(0) }, /gave no answer for 0\.3 s/],
])('a peer that takes no connection: %j', async (behaviour, pattern) => {
  const peer = await Peer.start(behaviour)
  const connecting = MqttPublisher.connect({ address: peer.address, windowMax: 1, timeoutMs: 300 })
  await expect(connecting).rejects.toThrow(pattern)
  await expect(connecting).rejects.toBeInstanceOf(PublishError)
  await peer.stop()
})

test('the command line lists and replays', async () => {
  const store = fixture.url.replace('http://', '')
  const list = await runMillrace(['dead-letters', 'list', '--store', store, '--device', 'd0', '--limit', '2'])
  expect(list).toMatchObject({ code: 0, stderr: '' })
  expect(list.stdout.split('\n')[0]).toBe(
    '2023-11-14T22:13:20.061Z  telemetry  d0  too deep  7 bytes  p245\\x00\\xff\\x1b',
  )
  const json = await runMillrace(['dead-letters', 'list', '--store', store, '--limit', '1', '--json'])
  expect(JSON.parse(json.stdout)).toMatchObject({
    arrival: '2023-11-14T22:13:20.062Z',
    isPayloadWhole: true,
    payload: Buffer.from(payloadOf(248), 'latin1').toString('base64'),
  })
  const none = await runMillrace(['dead-letters', 'list', '--store', store, '--stream', 'x'])
  expect(none.stdout).toBe('no dead letters\n')
  const dry = await runMillrace(['dead-letters', 'replay', '--store', store, '--dry-run', '--device', 'd0'])
  expect(dry.stdout).toMatch(/-> dry run\n50 of 50 would be sent\n$/)
  const peer = await Peer.start()
  const mqtt = `127.0.0.1:${peer.address.port}`
  const args = ['dead-letters', 'replay', '--store', store, '--mqtt', mqtt, '--limit', '9', '--look', '0']
  const sent = await runMillrace(args)
  expect(sent).toMatchObject({ code: 0, stderr: '' })
  expect(sent.stdout).toMatch(
    /\n9 of 9 accepted; dead letters again within 0 s: 0\nthe letters that were sent stay in the table\n$/,
  )
  expect(peer.published).toHaveLength(9)
  await peer.stop()
  const away = await runMillrace(args)
  expect(away).toMatchObject({ code: 1, stdout: '' })
  expect(away.stderr).toMatch(/^millrace dead-letters: MQTT at .* can't be reached \(ECONNREFUSED\)\n$/)
})

test.each([
  [[], /takes list or replay/],
  [['eat'], /takes list or replay/],
  [['list', 'replay'], /takes list or replay/],
  [['replay'], /replay takes --mqtt HOST:PORT, or --dry-run/],
  [['list', '--mqtt', ':1'], /list takes no --mqtt/],
  [['list', '--since', 'yesterday'], /--since takes a time such as/],
  [['list', '--limit', '0'], /--limit takes a number/],
  [['list', '--store', ':1', '--clickhouse', 'http://x'], /takes --store or --clickhouse, not both/],
  [['list', '--clickhouse', 'ftp://x'], /--clickhouse takes a URL/],
])('a wrong call, %j, is refused', async (args, pattern) => {
  const { stdin, stdout, stderr } = process
  const io = { stdin, stdout, stderr, env: {} }
  const call = deadLettersCommand(args, io)
  await expect(call).rejects.toThrow(pattern)
  await expect(call).rejects.toBeInstanceOf(UsageError)
})
