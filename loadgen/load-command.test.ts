import { afterEach, describe, expect, test } from 'vitest'
import { loadCommand } from './load-command.ts'
import { MqttSink } from './mqtt-sink.ts'

function createIo() {
  const io = { out: '', err: '' }
  return {
    io,
    stdout: { write: (text: string) => (io.out += text) },
    stderr: { write: (text: string) => (io.err += text) },
  }
}

describe('millrace load', () => {
  let sink: MqttSink | null = null
  afterEach(async () => {
    await sink?.close()
    sink = null
  })

  async function run(...args: string[]) {
    const { io, stdout, stderr } = createIo()
    return { code: await loadCommand(args, { stdout, stderr, env: {} }), ...io }
  }

  test('a command line that makes no sense: exit code 2, one line that says what to do', async () => {
    const cases: [args: string, message: RegExp][] = [
      ['--nonsense', /Unknown option '--nonsense'/],
      ['stray', /Unexpected argument 'stray'/],
      ['--qos', /argument missing/],
      ['--qos 2', /--qos must be 0 or 1, not "2"/],
      ['--protocol 3', /--protocol must be 4 or 5/],
      ['--codec xml', /--codec must be json or msgpack/],
      ['--connections many', /--connections must be a number, not "many"/],
      ['--rate -5', /--rate needs a value; .*--rate=-VALUE/],
      ['--mqtt localhost', /--mqtt must be HOST:PORT, not "localhost"/],
      ['--mqtt localhost:99999', /--mqtt must be HOST:PORT/],
      ['--store nowhere --mqtt 127.0.0.1:1', /--store must be HOST:PORT/],
      ['--mqtt a:1 --ws b:2', /not both/],
      ['--door ws', /needs --ws HOST:PORT/],
      ['--messages 5 --duration 5', /not both/],
      ['--messages 0', /at least 1/],
    ]
    for (const [args, message] of cases) {
      const { code, out, err } = await run(...args.split(' '))
      expect(err, args).toMatch(message)
      expect(err.trimEnd(), args).not.toContain('\n')
      expect([code, out], args).toEqual([2, ''])
    }
  })

  test('options that cannot work together, or nobody there: exit code 1, one line', async () => {
    const cases: [args: string, message: RegExp][] = [
      ['--devices 5 --connections 10', /devices \(5\) must be at least connections \(10\)/],
      ['--window 70000', /window must be a whole number from 1 to 65535/],
      ['--connections 1.5', /connections must be a whole number/],
      ['--prefix a/b', /prefix must be/],
      ['--ws 127.0.0.1:1 --door ws --codec msgpack', /JSON only/],
      ['--mqtt 127.0.0.1:1 --messages 5', /cannot connect to 127\.0\.0\.1:1: ECONNREFUSED; is it running\?/],
      ['--mqtt 127.0.0.1:1 --messages 5 --threads 2', /cannot connect to 127\.0\.0\.1:1: ECONNREFUSED/],
    ]
    for (const [args, message] of cases) {
      const { code, err } = await run(...args.split(' '))
      expect(err, args).toMatch(message)
      expect(err.trimEnd(), args).not.toContain('\n')
      expect(code, args).toBe(1)
    }
  })

  test('--help names every option', async () => {
    const { code, out } = await run('--help')
    expect(code).toBe(0)
    for (const option of ['--mqtt', '--rollups-wait', '--keep-session', '--per-write'])
      expect(out).toContain(option)
  })

  test('a run reports as text and as JSON', async () => {
    sink = new MqttSink()
    const port = await sink.listen()
    const args = ['--mqtt', `127.0.0.1:${port}`, '--messages', '500', '--connections', '5']
    const text = await run(...args)
    expect(text.code).toBe(0)
    expect(text.out).toMatch(/sent +500 messages, 1,000 readings/)
    const json = await run(...args, '--json', '--threads', '2', '--codec', 'msgpack')
    expect(json.code).toBe(0)
    expect(JSON.parse(json.out)).toMatchObject({ counters: { sent: 500, acknowledged: 500, inFlight: 0 } })
    expect(JSON.parse(json.out).latency.count).toBe(500)
  })

  test('a refused message makes the run fail, and its reason is told', async () => {
    let seen = 0
    sink = new MqttSink({ onPublish: () => (++seen % 10 === 0 ? 0x97 : 0) })
    const port = await sink.listen()
    const { code, out } = await run('--mqtt', `127.0.0.1:${port}`, '--messages', '100', '--protocol', '5')
    expect(code).toBe(1)
    expect(out).toMatch(/refused +10\n/)
    expect(out).toContain('10 x PUBACK 0x97')
  })

  test('--verify without a store is one line', async () => {
    sink = new MqttSink()
    const port = await sink.listen()
    const { code, err } = await run(
      '--mqtt',
      `127.0.0.1:${port}`,
      '--messages',
      '5',
      '--verify',
      '--wait',
      '0',
      '--store',
      '127.0.0.1:1',
    )
    expect(code).toBe(1)
    expect(err).toMatch(/^millrace load: the store at http:\/\/127\.0\.0\.1:1 failed: .*ECONNREFUSED.*\n$/)
  })
})
