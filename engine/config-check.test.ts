/** What a config may say: each refusal names the key, what was found there, and what is allowed. */
import { describe, expect, test } from 'vitest'
import { DEFAULT_CONFIG } from './config.ts'
import { checkConfig, RANGES } from './config-check.ts'

describe('refused', () => {
  const circular: Record<string, unknown> = {}
  circular.self = circular
  const stream = { name: 'a', topic: 'x/{device}' }
  const list = (count: number) => Array.from({ length: count }, (_, i) => `${i + 1}s`)

  const cases: [config: unknown, reason: string | RegExp][] = [
    [undefined, 'the default export is undefined, must be an object: export default defineConfig({...})'],
    [null, 'the default export is null, must be an object'],
    [Promise.resolve({}), 'the default export is Promise { {} }, must be an object'],
    [[], 'the default export is [], must be an object'],
    [new Map(), 'the default export is Map(0) {}, must be an object'],
    [
      { stream: [] },
      'stream is [], must be left out; known here are streams, windows, batch, limits, access',
    ],
    [
      { windows: circular },
      /^config: windows\.self is <ref \*1> .*, must be left out; known here are widths/,
    ],
    [{ streams: [] }, 'streams is [], must be a list with at least one entry'],
    [{ access: { role: {} } }, 'access.role is {}, must be left out; known here are roles, jwt'],
    [
      { access: { roles: { 'a b': {} } } },
      'access.roles.a b is {}, must be named otherwise: a name must be 1 to 64',
    ],
    [
      { access: { roles: { a: { publish: ['x', 'x{device}'] } } } },
      'access.roles.a.publish[1] is "x{device}", must be a topic filter with whole levels {device}, {client}, {group},',
    ],
    [{ access: { roles: { a: { subscribe: 'x/#' } } } }, 'access.roles.a.subscribe is "x/#", must be a list'],
    [{ access: { jwt: {} } }, 'access.jwt.keys is undefined, must be the path of a JWKS file'],
    [{ access: { jwt: { keys: 'a', issuer: 1 } } }, 'access.jwt.issuer is 1, must be a text'],
    [{ streams: ['a'] }, 'streams[0] is "a", must be an object'],
    [{ streams: [stream, null] }, 'streams[1] is null, must be an object'],
    [
      { streams: [{ ...stream, codecs: 'json' }] },
      'streams[0].codecs is "json", must be left out; known here are name, topic, codec, metrics, raw, steps,',
    ],
    [{ streams: [{ topic: 'x/{device}' }] }, /^config: streams\[0\]\.name is undefined, must be a name/],
    [{ streams: [stream, stream] }, /^config: streams\[1\]\.name is "a", must be a name of its own/],
    [
      { limits: { packetSizeBytesMax: 10 } },
      'limits.packetSizeBytesMax is 10, must be a whole number from 1024 to 134217728',
    ],
    [
      { limits: { connectionsMax: 1e12 } },
      'limits.connectionsMax is 1000000000000, must be a whole number from 1 to 1000000',
    ],
    [
      { limits: { connectionsMax: 5n } },
      'limits.connectionsMax is 5n, must be a whole number from 1 to 1000000',
    ],
    [
      { limits: { connectionsMax: '5' } },
      'limits.connectionsMax is "5", must be a whole number from 1 to 1000000',
    ],
    [{ limits: { ringSizeBytes: 100_000 } }, 'limits.ringSizeBytes is 100000, must be a power of two'],
    [
      { limits: { ringSizeBytes: 1 << 16 } },
      'limits.packetSizeBytesMax is 1048576, must be at most 8192, an eighth of limits.ringSizeBytes',
    ],
    [{ windows: { latenessMs: -1 } }, 'windows.latenessMs is -1, must be a whole number from 0 to 604800000'],
    [{ batch: { ageMsMax: 0.5 } }, 'batch.ageMsMax is 0.5, must be a whole number from 1 to 600000'],
    [
      { windows: { widths: ['10s', '8785h'] } },
      /^config: windows\.widths\[1\] is "8785h", must be .*at most 366d/,
    ],
    [{ windows: { widths: list(33) } }, /^config: windows\.widths is \[.*, must be a list of at most 32/],
  ]
  for (const [config, reason] of cases) {
    test(String(reason), () => {
      const message = typeof reason === 'string' ? `config: ${reason}` : reason
      expect(() => checkConfig(config)).toThrow(message)
      expect(() => checkConfig(config)).toThrow(expect.objectContaining({ code: 'CONFIG' }))
      expect(() => checkConfig(config)).not.toThrow(/\n/)
    })
  }
})

test('what is left out is the default', () => {
  const { pipelines, ...rest } = checkConfig({})
  expect(rest).toEqual(DEFAULT_CONFIG)
  expect(pipelines).toHaveLength(1)
  expect(checkConfig({ windows: { latenessMs: 0 }, limits: undefined })).toEqual({
    ...DEFAULT_CONFIG,
    pipelines,
    windows: { ...DEFAULT_CONFIG.windows, latenessMs: 0 },
  })
})

test('widths are written as the column `window` has them', () => {
  const { windows, pipelines } = checkConfig({ windows: { widths: ['500ms', '60s', '24h'] } })
  expect(windows.widths).toEqual(['500ms', '1m', '1d'])
  expect(pipelines[0].operators.map(({ label }) => label)).toEqual(['500ms', '1m', '1d'])
})

test('every number has a range, which its default is in, and both ends of which are taken', () => {
  const numbers = Object.entries(DEFAULT_CONFIG).flatMap(([part, settings]) =>
    Object.entries(settings).flatMap(([key, value]) =>
      typeof value === 'number' ? [[part, key, value]] : [],
    ),
  )
  expect(numbers.map(([part, key]) => `${part}.${key}`).sort()).toEqual(Object.keys(RANGES).sort())
  for (const [part, key, standard] of numbers) {
    const [min, max] = RANGES[`${part}.${key}`]
    expect(standard).toBeGreaterThanOrEqual(min)
    expect(standard).toBeLessThanOrEqual(max)
    const room = key === 'packetSizeBytesMax' ? { ringSizeBytes: 1 << 30 } : { packetSizeBytesMax: 1024 }
    for (const value of [min, max]) {
      const settings = { [key]: value, ...(part === 'limits' && room) }
      expect(() => checkConfig({ [part]: settings })).not.toThrow()
    }
    for (const value of [min - 1, max + 1])
      expect(() => checkConfig({ [part]: { [key]: value } })).toThrow(`from ${min} to ${max}`)
  }
})

test('a role takes the place of its default, the others stay', () => {
  const { access } = checkConfig({
    access: {
      roles: { device: { publish: ['a/{device}'] }, reader: { subscribe: ['#'] } },
      jwt: { keys: 'k.json' },
    },
  })
  expect(access.roles).toEqual({
    ...DEFAULT_CONFIG.access.roles,
    device: { publish: ['a/{device}'], subscribe: [] },
    reader: { publish: [], subscribe: ['#'] },
  })
  expect(access.jwt).toEqual({ keys: 'k.json', issuer: null, audience: null, claim: 'sub' })
})
