/** `millrace device`, against real files; once as a process, the way users call it. */

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { afterEach, describe, expect, test } from 'vitest'
import { type Outcome, runMillrace, temporaryDirectory } from '../engine-process.ts'
import { isToken, tokenDigest } from '../registry/device-token.ts'
import { verifyPassword } from '../registry/password-hash.ts'
import { Registry } from '../registry/registry.ts'
import { UsageError } from './command.ts'
import { deviceCommand } from './device-command.ts'

const cleanups: (() => void)[] = []

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

function newDirectory(): string {
  const directory = temporaryDirectory()
  cleanups.push(directory.remove)
  return directory.path
}

function registryOf(data: string): Registry {
  const registry = new Registry(join(data, 'registry.db'), { waitMs: 1000, isDurable: false })
  cleanups.push(() => registry.close())
  return registry
}

/** With something on standard input; a usage error as the command line turns it into an exit code. */
async function run(args: string[], input: string | string[] = ''): Promise<Outcome> {
  const outcome: Outcome = { code: null, stdout: '', stderr: '' }
  const into = (name: 'stdout' | 'stderr') =>
    new Writable({
      write(chunk, _, next) {
        outcome[name] += chunk
        next()
      },
    })
  // What is typed at a terminal comes a line at a time.
  const isTTY = Array.isArray(input)
  const chunks = [input].flat().map((text) => Buffer.from(text))
  const stdin = Object.assign(Readable.from(chunks), { isTTY }) as unknown as NodeJS.ReadStream
  try {
    const io = { stdin, stdout: into('stdout'), stderr: into('stderr'), env: {} }
    const code = await deviceCommand(args, io)
    return { ...outcome, code }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    return { ...outcome, code: 2, stderr: error.message }
  }
}

async function done(args: string[], input = ''): Promise<string> {
  const outcome = await run(args, input)
  expect(outcome.code).toBe(0)
  return outcome.stdout
}

describe('wrong calls end with 2 and one line', () => {
  test.each([
    [[], /takes one of add, set, token/],
    [['fly'], /takes one of add, set, token/],
    [['add'], /add takes the name of a device/],
    [['add', 'a', 'b'], /add takes no "b"/],
    [['add', 'a/b'], /the name must fit into a level of a topic/],
    [['add', '$a'], /no \$ at the start/],
    [['add', 'a', '--role', 'a b'], /a role must be/],
    [['add', 'a', '--group', 'x/y'], /the group "x\/y" must fit/],
    [['add', 'a', '--certificate', 'abc'], /SHA-256 fingerprint, 64 hex digits/],
    [['add', 'a', '--meta', 'x'], /--meta takes KEY=VALUE, not "x"/],
    [['list', '--token'], /list takes no --token/],
    [['import', 'x.txt'], /import takes a file that ends in \.csv or \.jsonl/],
    [['show', 'a', '--password'], /show takes no --password/],
  ])('%j', async (args, pattern) => {
    const { code, stderr } = await run([...args, '--data', newDirectory()].slice(args.length === 0 ? 2 : 0))
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
    expect(stderr).toMatch(pattern)
    expect(code).toBe(2)
  })
})

test('help', async () => {
  expect(await done(['--help'])).toContain('millrace device add NAME')
})

describe('a device from its registration to its end', () => {
  test('add, show, set, list, disable, enable, remove', async () => {
    const data = join(newDirectory(), 'made', 'by', 'add')
    const at = ['--data', data]
    const added = [
      'add',
      'pump-7',
      '--group',
      'hall',
      '--group',
      'west',
      '--meta',
      'site=B',
      '--version',
      '1.0',
    ]
    expect(await done([...added, ...at])).toBe('pump-7 is registered\n')
    expect(await done(['add', 'fan', '--role', 'gateway', ...at, '--json'])).toBe('{"name":"fan"}\n')
    expect(await run(['add', 'fan', ...at])).toMatchObject({ code: 1, stderr: /fan is registered already/ })

    const list = await done(['list', ...at])
    expect(list).toMatch(
      /^name +role +groups +state +version +last seen\nfan +gateway +enabled +never\npump-7 +device +hall west +enabled +1\.0 +never\n$/,
    )
    expect(JSON.parse(await done(['show', 'pump-7', ...at, '--json']))).toMatchObject({
      name: 'pump-7',
      groups: ['hall', 'west'],
      metadata: { site: 'B' },
      isEnabled: true,
      lastSeen: null,
      credentials: [],
    })

    await done([
      'set',
      'pump-7',
      '--group',
      'east',
      '--role',
      'special',
      '--meta',
      'site=',
      '--meta',
      'x=1',
      ...at,
    ])
    const registry = registryOf(data)
    expect(registry.device('pump-7')).toMatchObject({
      groups: ['east'],
      role: 'special',
      metadata: { x: '1' },
    })
    expect(await run(['set', 'pump-7', ...at])).toMatchObject({ code: 2, stderr: /set takes what to change/ })

    await done(['disable', 'pump-7', 'fan', ...at])
    expect([...registry.devices({ isEnabled: false })]).toHaveLength(2)
    await done(['enable', 'fan', ...at])
    expect(await done(['list', '--disabled', '--json', ...at])).toMatch(/^\{"name":"pump-7".*\n$/)
    expect(await run(['remove', 'pump-7', 'nobody', ...at])).toMatchObject({
      code: 1,
      stderr: /no device "nobody"/,
    })
    expect(registry.device('pump-7')).not.toBeNull()
    await done(['remove', 'pump-7', 'fan', ...at])
    expect(await done(['list', ...at])).toBe('no devices\n')
  })

  test('a directory without a registry is said to be one', async () => {
    const outcome = await run(['list', '--data', newDirectory()])
    expect(outcome).toMatchObject({ code: 1, stderr: /has no registered devices: .* --data DIR/ })
  })
})

describe('secrets', () => {
  test('a password comes from standard input and is kept as a hash', async () => {
    const data = newDirectory()
    await done(['add', 'a', '--password', '--data', data], 'correct horse\n')
    const digest = registryOf(data).passwordOf('a')?.digest ?? ''
    expect(verifyPassword(Buffer.from('correct horse'), digest)).toBe(true)
    await done(['set', 'a', '--password', '--data', data], 'another\r\n')
    const changed = registryOf(data).passwordOf('a')?.digest ?? ''
    expect(verifyPassword(Buffer.from('another'), changed)).toBe(true)
    expect(await run(['set', 'a', '--password', '--data', data], '')).toMatchObject({ code: 2 })
    const shown =
      (await done(['show', 'a', '--data', data])) + (await done(['show', 'a', '--json', '--data', data]))
    expect(shown).toContain('password')
    expect(shown).not.toContain('scrypt')
  })

  test('at a terminal a password is asked for twice, and not shown', async () => {
    const data = newDirectory()
    const typed = await run(['add', 'a', '--password', '--data', data], ['geheim\r', 'geheim\r'])
    expect(typed).toEqual({ code: 0, stdout: 'a is registered\n', stderr: 'password of a: \nagain: \n' })
    expect(verifyPassword(Buffer.from('geheim'), registryOf(data).passwordOf('a')?.digest ?? '')).toBe(true)
    const set = ['set', 'a', '--password', '--data', data]
    expect(await run(set, ['one\r', 'two\r'])).toMatchObject({ code: 2, stderr: 'the two passwords differ' })
    expect(await run(set, ['\x03'])).toMatchObject({ code: 2, stderr: 'no password was given' })
  })

  test('a token is told once and kept as its SHA-256', async () => {
    const data = newDirectory()
    const token = (await done(['add', 'a', '--token', '--data', data])).trim()
    const { token: second } = JSON.parse(await done(['token', 'a', '--json', '--data', data]))
    const registry = registryOf(data)
    for (const each of [token, second]) {
      expect(isToken(each)).toBe(true)
      expect(registry.findCredential('token', tokenDigest(each))?.device).toBe('a')
    }
    const third = (await done(['token', 'a', '--replace', '--data', data])).trim()
    expect(registry.credentialsOf('a').map(({ digest }) => digest)).toEqual([tokenDigest(third)])
    const files = ['registry.db', 'registry.db-wal']
      .map((name) => readFileSync(join(data, name), 'latin1'))
      .join()
    expect(files).toContain(tokenDigest(third))
    for (const each of [token, second, third]) expect(files).not.toContain(each.slice(4))
    expect(await run(['token', 'b', '--data', data])).toMatchObject({ code: 1, stderr: /no device "b"/ })
  })
})

describe('import', () => {
  const CSV = [
    'name,password,role,groups,enabled,version,meta.site',
    'a,secret-a,,hall;west,,1.0,"B, north"',
    'b,,gateway,hall,no,,',
    '"c ""3""",secret-c,,,,,',
    '',
  ].join('\n')

  test('CSV and JSON lines say the same', async () => {
    const [fromCsv, fromJson] = [newDirectory(), newDirectory()]
    const csv = join(fromCsv, 'fleet.csv')
    writeFileSync(csv, `\ufeff${CSV.replaceAll('\n', '\r\n')}`)
    expect(await done(['import', csv, '--data', fromCsv])).toBe('3 devices are registered\n')
    const lines = [
      {
        name: 'a',
        password: 'secret-a',
        groups: ['hall', 'west'],
        version: '1.0',
        metadata: { site: 'B, north' },
      },
      { name: 'b', role: 'gateway', groups: ['hall'], enabled: false },
      { name: 'c "3"', password: 'secret-c' },
    ]
    const jsonl = lines.map((line) => JSON.stringify(line)).join('\n\n')
    expect(await done(['import', '-', '--json', '--data', fromJson], jsonl)).toBe('{"count":3}\n')
    const [one, two] = [fromCsv, fromJson].map((data) => registryOf(data))
    const devices = [...one.devices()]
    expect(devices).toMatchObject([
      {
        name: 'a',
        role: 'device',
        groups: ['hall', 'west'],
        isEnabled: true,
        metadata: { site: 'B, north' },
      },
      { name: 'b', role: 'gateway', groups: ['hall'], isEnabled: false },
      { name: 'c "3"', version: null, metadata: {} },
    ])
    expect([...two.devices()].map(({ createdMs: _, ...rest }) => rest)).toEqual(
      devices.map(({ createdMs: _, ...rest }) => rest),
    )
    expect(verifyPassword(Buffer.from('secret-a'), one.passwordOf('a')?.digest ?? '')).toBe(true)
  })

  test('of a file with mistakes nothing is registered, and each is told with its line', async () => {
    const data = newDirectory()
    await done(['add', 'known', '--data', data])
    const file = join(data, 'x.jsonl')
    const lines = [
      '{"name": "fine"}',
      'nonsense-with-a-secret',
      '{"name": "x/y"}',
      '{"name": "fine"}',
      '{"name": "known"}',
      '{"name": "a", "pasword": "secret-b"}',
      '{"name": "b", "enabled": "secret-b"}',
      '{"name": "c", "token": "secret-b"}',
      '{"password": "secret-b"}',
    ]
    writeFileSync(file, lines.join('\n'))
    const { code, stdout, stderr } = await run(['import', file, '--data', data])
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    for (const fault of [
      'line 2: this is no JSON object',
      'line 3: the name must fit',
      'line 4: "fine" is in line 1 already',
      'line 5: "known" is registered already',
      'line 6: there is no field "pasword"',
      'line 7: enabled must be true or false',
      'line 8: a token is mrt_ and 43 characters',
      'line 9: there is no name',
      '8 lines are wrong; no device was registered',
    ])
      expect(stderr).toContain(fault)
    expect(stderr).not.toContain('secret')
    expect([...registryOf(data).devices()]).toHaveLength(1)
  })

  test('tokens are made and printed', async () => {
    const data = newDirectory()
    const file = join(data, 'x.csv')
    writeFileSync(file, 'name\na\n"b,c"\n')
    const printed = await done(['import', file, '--tokens', '--data', data])
    const [, a, b] = /^a,(mrt_\S+)\n"b,c",(mrt_\S+)\n$/.exec(printed) ?? []
    const registry = registryOf(data)
    expect(registry.findCredential('token', tokenDigest(a))?.device).toBe('a')
    expect(registry.findCredential('token', tokenDigest(b))?.device).toBe('b,c')
  })

  test.each([
    ['x.csv', 'role\na\n', /the first line must name the columns/],
    ['x.csv', 'name,color\na,b\n', /no column "color"/],
    ['x.csv', 'name,role\na\n', /line 2: there are 1 fields for 2 columns/],
    ['x.csv', 'name\n"a"b\n', /line 2: a quote stands where none may be/],
    ['gone.jsonl', null, /can't be read \(ENOENT\)/],
  ])('%s %j', async (name, text, pattern) => {
    const data = newDirectory()
    if (text !== null) writeFileSync(join(data, name), text)
    const { code, stderr } = await run(['import', join(data, name), '--data', data])
    expect(stderr).toMatch(pattern)
    expect(code).not.toBe(0)
  })
})

test('as a process', async () => {
  const data = newDirectory()
  expect((await runMillrace(['--help'])).stdout).toContain('millrace device ')
  const added = await runMillrace(['device', 'add', 'a', '--token', '--data', data])
  expect(added).toMatchObject({ code: 0, stderr: '' })
  expect(isToken(added.stdout.trim())).toBe(true)
  expect(await runMillrace(['device', 'add', 'a', '--data', data])).toMatchObject({ code: 1, stdout: '' })
})
