/** The image and the compose file against the command line they call: flags, ports, variables, files, secrets. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'

interface Service {
  image: string
  build?: { context: string; dockerfile: string }
  command?: string[]
  environment?: Record<string, string>
  ports?: string[]
  profiles?: string[]
  secrets?: string[]
  volumes?: string[]
  depends_on?: Record<string, unknown>
}

interface Compose {
  services: Record<string, Service>
  volumes: Record<string, null>
  secrets: Record<string, { environment: string }>
}

const root = dirname(import.meta.dirname)
const dockerfile = readFileSync(join(root, 'docker', 'Dockerfile'), 'utf8')
const composeText = readFileSync(join(root, 'docker', 'compose.yaml'), 'utf8')
const compose: Compose = parse(composeText, { merge: true })
const services = Object.values(compose.services)
const entrypoint: string[] = JSON.parse(instruction('ENTRYPOINT'))
let help = ''

/** The arguments of the Dockerfile's only instruction of that name. */
function instruction(name: string): string {
  const lines = dockerfile.split('\n').filter((line) => line.startsWith(`${name} `))
  expect(lines).toHaveLength(1)
  return lines[0].slice(name.length + 1)
}

beforeAll(() => {
  help = execFileSync(process.execPath, ['engine/cli.ts', 'start', '--help'], { cwd: root, encoding: 'utf8' })
})

test('every flag of the image and of the services is one of the command line', () => {
  const words = [
    ...entrypoint,
    ...services.flatMap(({ image, command }) => (image === 'millrace' ? (command ?? []) : [])),
  ]
  const flags = words.filter((word) => word.startsWith('--'))
  expect(flags).toContain('--clickhouse')
  for (const flag of flags) expect(help).toMatch(new RegExp(`${flag}\\b`))
})

test('the image starts the engine, and exposes and publishes the ports it listens on', () => {
  expect(entrypoint.slice(0, 3)).toEqual(['node', 'engine/cli.ts', 'start'])
  const listened = entrypoint.filter((word) => word.startsWith('0.0.0.0:')).map((word) => word.slice(8))
  expect(instruction('EXPOSE').split(' ')).toEqual(listened)
  for (const { image, ports = [] } of services) {
    if (image === 'millrace')
      expect(ports.map((port) => port.split(':').slice(-2))).toEqual(listened.map((p) => [p, p]))
  }
  expect(instruction('VOLUME')).toBe(entrypoint[entrypoint.indexOf('--data') + 1])
  expect(instruction('USER')).not.toBe('root')
})

test('the health check asks a path and port that the engine serves', () => {
  const [, port, path] = /127\.0\.0\.1:(\d+)(\/\w+)/.exec(dockerfile) ?? []
  expect(entrypoint[entrypoint.indexOf('--http') + 1]).toBe(`0.0.0.0:${port}`)
  expect(help).toContain(path)
})

test('what the image copies exists and is not ignored', () => {
  const ignored = readFileSync(join(root, '.dockerignore'), 'utf8').split('\n')
  const copies = dockerfile.split('\n').filter((line) => /^COPY (?!--from)/.test(line))
  for (const path of copies.flatMap((line) => line.split(' ').slice(1, -1))) {
    expect(existsSync(join(root, path)), path).toBe(true)
    expect(ignored).toContain(`!${path}`)
  }
})

test('services name volumes, secrets and services that exist, and variables that the engine reads', () => {
  const { default: plain, ...others } = Object.groupBy(services, ({ profiles = ['default'] }) => profiles[0])
  expect([plain?.length, Object.keys(others)]).toEqual([1, ['clickhouse']])
  for (const { image, build, volumes = [], secrets = [], depends_on = {}, environment = {} } of services) {
    for (const volume of volumes) expect(Object.keys(compose.volumes)).toContain(volume.split(':')[0])
    for (const secret of secrets) expect(Object.keys(compose.secrets)).toContain(secret)
    for (const name of Object.keys(depends_on)) expect(Object.keys(compose.services)).toContain(name)
    if (image !== 'millrace') continue
    expect(existsSync(join(root, 'docker', build?.context ?? '', build?.dockerfile ?? ''))).toBe(true)
    for (const name of Object.keys(environment))
      expect(help).toContain(name.replace(/.*(?=_PASSWORD_FILE)/, '...'))
  }
  expect(compose.secrets.clickhouse_password.environment).toBe('MILLRACE_CLICKHOUSE_PASSWORD')
})

test('no password stands in the files', () => {
  expect(`${composeText}${dockerfile}`).not.toMatch(/PASSWORD: *\S/)
})
