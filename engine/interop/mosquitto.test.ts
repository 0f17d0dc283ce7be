/** mosquitto's clients (Debian's mosquitto-clients) against a gateway and its sessions. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type RunningGateway, runGateway, until } from '../gateway/socket-harness.ts'
import { VERSION } from '../version.ts'

const run = promisify(execFile)
const isInstalled = await run('mosquitto_pub', ['--help']).then(
  () => true,
  (error: NodeJS.ErrnoException) => error.code !== 'ENOENT',
)
if (!isInstalled && process.env.MILLRACE_CI === '1') throw new Error('mosquitto-clients is not installed')
if (!isInstalled) console.warn('SKIPPED: mosquitto-clients is not installed')

const VERSIONS = ['311', '5']

let running: RunningGateway
let children: ChildProcess[]

beforeEach(async () => {
  children = []
  running = await runGateway()
})

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL')
  await running.stop()
})

function at(version: string): string[] {
  return ['-h', '127.0.0.1', '-p', String(running.mqttPort), '-V', version]
}

async function publish(version: string, args: string[], input?: string): Promise<void> {
  const child = execFile('mosquitto_pub', [...at(version), ...args])
  if (input !== undefined) child.stdin?.end(input)
  const code = await new Promise((resolve) => child.on('close', resolve))
  expect(code, `mosquitto_pub ${args.join(' ')}`).toBe(0)
}

interface Listener {
  lines: string[]
  child: ChildProcess
  ended: Promise<unknown>
}

/** A mosquitto_sub that has its SUBACKs, and the lines it prints from then on. */
async function listen(version: string, args: string[]): Promise<Listener> {
  // By lines, or its output would wait for its end.
  const child = spawn('stdbuf', ['-oL', 'mosquitto_sub', ...at(version), '-d', ...args])
  children.push(child)
  let output = ''
  const listener: Listener = {
    lines: [],
    child,
    ended: new Promise((resolve) => child.on('close', resolve)),
  }
  child.stdout.on('data', (text) => {
    output += text
    const lines = output.split('\n').slice(0, -1)
    listener.lines = lines.filter((line) => !/^(Client |Subscribed|$)/.test(line))
  })
  await until(() => /^Subscribed/m.test(output), 'the SUBACK')
  return listener
}

describe.skipIf(!isInstalled)('mosquitto', () => {
  const cases = VERSIONS.flatMap((version) => ['0', '1', '2'].map((qos) => [version, qos] as const))

  test.each(cases)(
    'MQTT %s: a stream of lines at QoS %s, to a subscriber of the same',
    async (version, qos) => {
      const listener = await listen(version, ['-t', 'devices/#', '-q', qos, '-F', '%t %q %r %p'])
      const payloads = Array.from({ length: 50 }, (_, i) => `{"i":${i}}`)
      const topic = 'devices/a/telemetry'
      await publish(version, ['-t', topic, '-q', qos, '-l'], `${payloads.join('\n')}\n`)
      await until(() => listener.lines.length === payloads.length, 'the messages')
      expect(listener.lines).toEqual(payloads.map((payload) => `${topic} ${qos} 0 ${payload}`))
      const stored = running.records.filter((record) => record.topic !== '')
      expect(stored.map(({ payload }) => payload)).toEqual(payloads)
    },
  )

  test('MQTT 5: every property that mosquitto can send arrives', async () => {
    const format = '%t %q %C %R %D %E %F %S [%P] %p'
    const subscription = [
      '-D',
      'subscribe',
      'subscription-identifier',
      '42',
      '-D',
      'connect',
      'receive-maximum',
      '3',
    ]
    const listener = await listen('5', ['-t', 'a/b', '-q', '2', '-F', format, ...subscription])
    const properties = [
      ['content-type', 'text/plain'],
      ['response-topic', 'answers/to/me'],
      ['correlation-data', 'xyz'],
      ['message-expiry-interval', '60'],
      ['payload-format-indicator', '1'],
      ['topic-alias', '3'],
      ['user-property', 'b', '2'],
      ['user-property', 'a', '1'],
    ]
    const args = properties.flatMap((property) => ['-D', 'publish', ...property])
    await publish('5', ['-t', 'a/b', '-q', '2', '-m', 'hello', ...args])
    await until(() => listener.lines.length === 1, 'the message')
    expect(listener.lines).toEqual(['a/b 2 text/plain answers/to/me xyz 60 1 42 [b:2 a:1] hello'])
  })

  test.each(VERSIONS)(
    'MQTT %s: the will of a client that dies, and of one that leaves if it says so',
    async (version) => {
      const listener = await listen(version, ['-t', 'wills/#', '-q', '2', '-F', '%t %q %p'])
      const wills = ['leaves', 'dies'].map((name) =>
        listen(version, [
          '-t',
          'x',
          '--will-topic',
          `wills/${name}`,
          '--will-payload',
          'gone',
          '--will-qos',
          '2',
        ]),
      )
      const [leaves, dies] = await Promise.all(wills)
      leaves.child.kill('SIGTERM') // then it sends DISCONNECT, with MQTT 5 reason 0x04: with the will
      await leaves.ended
      dies.child.kill('SIGKILL')
      const expected = version === '5' ? ['wills/leaves 2 gone', 'wills/dies 2 gone'] : ['wills/dies 2 gone']
      await until(() => listener.lines.length >= expected.length, 'the wills')
      expect(listener.lines).toEqual(expected)
    },
  )

  test.each(VERSIONS)('MQTT %s: retained messages, also of a will, and their end', async (version) => {
    await publish(version, ['-t', 'state/a', '-m', 'on', '-r', '-q', '1'])
    await publish(version, ['-t', 'state/b', '-m', 'old', '-r', '-q', '2'])
    await publish(version, ['-t', 'state/b', '-m', 'new', '-r'])
    await publish(version, ['-t', 'state/c', '-m', 'not kept'])
    const found = await run('mosquitto_sub', [
      ...at(version),
      '-t',
      'state/#',
      '-C',
      '2',
      '-F',
      '%r %t %p',
      '-q',
      '1',
    ])
    expect(found.stdout.trim().split('\n').toSorted()).toEqual(['1 state/a on', '1 state/b new'])
    await publish(version, ['-t', 'state/a', '-n', '-r', '-q', '1'])
    const left = await run('mosquitto_sub', [
      ...at(version),
      '-t',
      'state/#',
      '-W',
      '2',
      '-F',
      '%r %t %p',
    ]).catch(
      (error) => error, // exit code 27: its time is over
    )
    expect(left.stdout.trim()).toBe('1 state/b new')
  })

  test.each(VERSIONS)('MQTT %s: what comes for a kept session while its client is away', async (version) => {
    const kept = [
      '-i',
      'kept',
      '-c',
      ...(version === '5' ? ['-x', '100'] : []),
      '-t',
      'q/#',
      '-q',
      '2',
      '-F',
      '%q %p',
    ]
    await run('mosquitto_sub', [...at(version), ...kept, '-E'])
    for (const [i, qos] of ['1', '2', '0', '2'].entries())
      await publish(version, ['-t', 'q/x', '-q', qos, '-m', `m${i}`])
    const { stdout } = await run('mosquitto_sub', [...at(version), ...kept, '-C', '3'])
    expect(stdout.trim().split('\n')).toEqual(['1 m0', '2 m1', '2 m3'])
  })

  test('MQTT 5: a shared subscription divides the messages among its members', async () => {
    const args = ['-t', '$share/workers/jobs/#', '-q', '1', '-F', '%p']
    const listeners = await Promise.all([listen('5', args), listen('5', args), listen('311', args)])
    const payloads = Array.from({ length: 60 }, (_, i) => `${i}`)
    await publish('5', ['-t', 'jobs/x', '-q', '1', '-l'], `${payloads.join('\n')}\n`)
    await until(() => listeners.flatMap(({ lines }) => lines).length >= payloads.length, 'all of them')
    const heard = listeners.flatMap(({ lines }) => lines)
    expect(
      heard
        .map(Number)
        .toSorted((a, b) => a - b)
        .map(String),
    ).toEqual(payloads)
    for (const { lines } of listeners) expect(lines.length).toBeGreaterThan(5)
  })

  test.each(VERSIONS)('MQTT %s: $SYS by a filter of one topic', async (version) => {
    const { stdout } = await run('mosquitto_sub', [...at(version), '-t', '$SYS/broker/version', '-C', '1'])
    expect(stdout.trim()).toBe(`millrace ${VERSION}`)
  })
})
