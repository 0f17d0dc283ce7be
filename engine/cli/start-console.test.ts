/** What people read: lines on a pipe, and one line that is written over on a terminal. */
import { PassThrough } from 'node:stream'
import { describe, expect, test } from 'vitest'
import type { Refusal } from '../registry/credentials.ts'
import { createConsole } from './start-console.ts'

const addresses = {
  mqtt: { host: '127.0.0.1', port: 1883 },
  mqtts: null,
  wss: null,
  webSocket: { host: '127.0.0.1', port: 8083 },
  http: { host: '127.0.0.1', port: 8080 },
  store: null,
}
const figures = {
  uptimeMs: 1000,
  connections: 2,
  messages: 10,
  readings: 20,
  rowsStored: 1234,
  deadLetters: 0,
  acknowledged: 10,
  pubackP99Us: 1500,
  backlogSizeBytes: 2_500_000,
  journalSizeBytes: 0,
  isJournalFull: false,
}

function capture({ isTty = false, isJson = false } = {}) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const out = Object.assign(stdout, { isTTY: isTty, columns: 60 })
  const io = { stdin: process.stdin, stdout: out, stderr, env: {} }
  const read = (stream: PassThrough) => (stream.read() ?? '').toString()
  return {
    terminal: createConsole(io, isJson, isTty),
    written: () => ({ stdout: read(stdout), stderr: read(stderr) }),
  }
}

describe('text', () => {
  test('a restart: the death, the addresses again, the replay until it is done, then figures', () => {
    const { terminal, written } = capture({ isTty: true })
    terminal.ready(addresses, 7)
    terminal.fault({ code: 'ENGINE_DIED', message: 'engine died (SIGKILL); started again', isOver: false })
    terminal.ready(addresses, 8)
    terminal.fault({ code: 'ENGINE_DIED', message: 'the engine runs again', isOver: true })
    const { stdout, stderr } = written()
    expect(stdout.match(/mqtt +127\.0\.0\.1:1883/g)).toHaveLength(2)
    expect(stderr).toBe(
      'millrace: engine died (SIGKILL); started again\nmillrace: over: the engine runs again\n',
    )
    terminal.replaying(12_900_000, 339_100_000)
    terminal.status(figures)
    expect(written().stdout).toBe('\r\x1b[Kreplaying: 13 of 340 MB')
    terminal.replaying(339_100_000, 339_100_000)
    terminal.status(figures)
    terminal.status({ ...figures, uptimeMs: 3000, messages: 30, readings: 60 })
    const rates = '2 connections | 10 messages/s | 20 readings/s | 1,234 rows stored'
    expect(written().stdout).toBe(`\r\x1b[Kreplaying: 340 of 340 MB\r\x1b[K${rates.slice(0, 59)}`)
  })

  test('on a pipe a replay is lines, and figures are left out', () => {
    const { terminal, written } = capture()
    terminal.replaying(0, 5_000_000)
    terminal.replaying(5_000_000, 5_000_000)
    terminal.status(figures)
    terminal.stopped(1234, false)
    expect(written().stdout).toBe(
      'replaying: 0 of 5 MB\nreplaying: 5 of 5 MB\n' +
        'stopped: 1,234 rows stored; the rest waits in the journal for the next start\n',
    )
  })
})

test('a warning is a line on stderr', () => {
  const { terminal, written } = capture()
  terminal.warning('the door is open')
  expect(written()).toEqual({ stdout: '', stderr: 'millrace: warning: the door is open\n' })
})

describe('what clients were refused', () => {
  const refusal = {
    reason: 'wrong-password',
    device: 'pump-7',
    client: 'c\u001b[2J',
    address: '10.0.0.9',
    topic: '',
  }
  const refusals: Refusal[] = [
    { ...refusal, what: 'connect', count: 1234 },
    { ...refusal, what: 'subscribe', reason: 'not-authorized', client: '', topic: '#', count: 1 },
  ]

  test('for people, with nothing that steers a terminal', () => {
    const { terminal, written } = capture()
    terminal.refusals(refusals)
    expect(written().stderr).toBe(
      'millrace: refused connect of pump-7, client c\\x1b[2J, from 10.0.0.9, 1,234 times: wrong-password\n' +
        'millrace: refused subscribe of pump-7 to #, from 10.0.0.9: not-authorized\n',
    )
  })

  test('as events', () => {
    const { terminal, written } = capture({ isJson: true })
    terminal.refusals(refusals)
    const events = written().stdout.trimEnd().split('\n')
    expect(events.map((line: string) => JSON.parse(line))).toEqual(
      refusals.map((each) => ({ event: 'refused', ...each })),
    )
  })
})

test('JSON: an event a line, with the process the user started and the engine behind it', () => {
  const { terminal, written } = capture({ isJson: true })
  terminal.ready(addresses, 7)
  terminal.replaying(1, 2)
  terminal.fault({ code: 'X', message: 'y', isOver: false })
  const events = written().stdout.trimEnd().split('\n')
  expect(events.slice(3).map((line: string) => JSON.parse(line))).toEqual([
    {
      event: 'ready',
      mqtt: '127.0.0.1:1883',
      ws: '127.0.0.1:8083',
      http: '127.0.0.1:8080',
      pid: process.pid,
      enginePid: 7,
    },
    { event: 'replaying', doneBytes: 1, totalBytes: 2 },
    { event: 'fault', code: 'X', message: 'y', isOver: false },
  ])
})
