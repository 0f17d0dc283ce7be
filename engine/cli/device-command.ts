/** `millrace device ...`: the devices that the engine lets in. It works on the registry's file, whether an engine runs or not. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { printable } from '../audit/printable.ts'
import { EngineError } from '../engine-error.ts'
import { makeDirectory } from '../make-directory.ts'
import { DEFAULT_ROLE, type NewCredential } from '../registry/device.ts'
import { makeToken, tokenDigest } from '../registry/device-token.ts'
import { REGISTRY_NAME, Registry, RegistryConflict } from '../registry/registry.ts'
import { type CommandIo, readOptions, UsageError } from './command.ts'
import { ImportError, importDevices } from './device-import.ts'
import { checkedName, DEVICE_OPTIONS, type DeviceValues, fieldsOf, passwordOf } from './device-options.ts'
import { listDevices, showDevice } from './device-pages.ts'

const HELP = `millrace device add NAME [options]     registers a device: it may publish and subscribe below devices/NAME/
millrace device set NAME [options]     changes one: what is named takes the place of what was there
millrace device token NAME             makes a bearer token and prints it, once; --replace ends older ones
millrace device list [--group G] [--role R] [--disabled]
millrace device show NAME
millrace device enable|disable|remove NAME...
millrace device import FILE            a .csv with a header, or .jsonl; - reads JSON lines from standard input

  --password             takes one from standard input, or asks for it
  --token                add: makes a bearer token and prints it, once
  --certificate SHA256   lets in whoever has that client certificate; may be given several times
  --role R               what it may, by the config's access.roles (default ${DEFAULT_ROLE})
  --group G              may be given several times; set: --group "" leaves all groups
  --version V            of its own software
  --meta KEY=VALUE       may be given several times; set: KEY= takes one away
  --tokens               import: makes a token for each device and prints lines of name,token
  --data DIR             the engine's data directory (default ./millrace-data); it may be running
  --json                 one JSON object a line

Columns of an import: name, password, token, certificate, role, groups (a;b), enabled, version, and meta.KEY,
all but the first optional; all devices are registered, or none. An engine that runs knows of a change
within a second: who is removed, disabled, or may something else from then on, is disconnected.
Exit codes: 0 done, 1 not done, 2 the options make no sense.
`

type Verb = (registry: Registry, names: string[], values: DeviceValues, io: CommandIo) => Promise<number>

const ABOUT_ONE = ['certificate', 'role', 'group', 'version', 'meta', 'password']

/** What each takes beside --data and --json, and how many names. */
const VERBS: Record<string, { run: Verb; options: string[]; namesMax: number }> = {
  add: { run: add, options: [...ABOUT_ONE, 'token'], namesMax: 1 },
  set: { run: set, options: ABOUT_ONE, namesMax: 1 },
  token: { run: token, options: ['replace'], namesMax: 1 },
  list: { run: list, options: ['group', 'role', 'disabled'], namesMax: 0 },
  show: { run: show, options: [], namesMax: 1 },
  enable: { run: enable(true), options: [], namesMax: Number.POSITIVE_INFINITY },
  disable: { run: enable(false), options: [], namesMax: Number.POSITIVE_INFINITY },
  remove: { run: remove, options: [], namesMax: Number.POSITIVE_INFINITY },
  import: { run: runImport, options: ['tokens'], namesMax: 1 },
}

export async function deviceCommand(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = readOptions(args, DEVICE_OPTIONS)
  if (values.help) {
    io.stdout.write(HELP)
    return 0
  }
  const [name = '', ...names] = positionals
  if (!Object.hasOwn(VERBS, name)) throw new UsageError(`takes one of ${Object.keys(VERBS).join(', ')}`)
  const verb = VERBS[name]
  checkCall(name, names, values)
  let registry: Registry | null = null
  try {
    registry = openRegistry(values.data, name)
    return await verb.run(registry, names, values, io)
  } catch (error) {
    if (!isExpected(error)) throw error
    io.stderr.write(`millrace device: ${printable(error.message)}\n`)
    return 1
  } finally {
    registry?.close()
  }
}

function checkCall(verb: string, names: string[], values: DeviceValues): void {
  const { options, namesMax } = VERBS[verb]
  for (const [option, value] of Object.entries(values)) {
    if (value === false || option === 'data' || option === 'json' || options.includes(option)) continue
    throw new UsageError(`${verb} takes no --${option}`)
  }
  if (names.length > namesMax) throw new UsageError(`${verb} takes no ${JSON.stringify(names[namesMax])}`)
  if (names.length === 0 && namesMax > 0)
    throw new UsageError(`${verb} takes ${verb === 'import' ? 'a file' : 'the name of a device'}`)
}

/** Only what registers devices makes a data directory: elsewhere a wrong --data is a mistake to be told of. */
function openRegistry(data: string, verb: string): Registry {
  const directory = resolve(data)
  const path = join(directory, REGISTRY_NAME)
  if (verb === 'add' || verb === 'import') {
    try {
      makeDirectory(directory)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      throw new EngineError('DATA_NOT_WRITABLE', `data directory ${directory} can't be made (${code})`, error)
    }
  } else if (!existsSync(path)) {
    throw new EngineError(
      'REGISTRY',
      `${directory} has no registered devices: register one, or choose another with --data DIR`,
    )
  }
  return new Registry(path, { waitMs: 10_000, isDurable: true })
}

function isExpected(error: unknown): error is Error {
  const isSqlite = (error as { code?: string }).code === 'ERR_SQLITE_ERROR'
  return isSqlite || [EngineError, RegistryConflict, ImportError].some((kind) => error instanceof kind)
}

async function add(
  registry: Registry,
  [given]: string[],
  values: DeviceValues,
  io: CommandIo,
): Promise<number> {
  const name = checkedName(given)
  const {
    role = DEFAULT_ROLE,
    groups = [],
    version = null,
    metadata = {},
    credentials,
  } = fieldsOf(values, {})
  if (registry.device(name) !== null) throw new RegistryConflict(`${name} is registered already`)
  if (values.password) credentials.push(await passwordOf(name, io))
  const made = values.token ? makeToken() : null
  if (made !== null) credentials.push(credentialOf(made))
  registry.add([{ name, role, groups, isEnabled: true, version, metadata, credentials }], Date.now())
  tell(io, values, { name, ...(made === null ? {} : { token: made }) }, made ?? `${name} is registered`)
  return 0
}

async function set(
  registry: Registry,
  [name]: string[],
  values: DeviceValues,
  io: CommandIo,
): Promise<number> {
  const device = registry.device(name)
  if (device === null) return missing(io, [name])
  const { credentials, ...fields } = fieldsOf(values, device.metadata)
  if (values.password) credentials.push(await passwordOf(name, io))
  if (Object.keys(fields).length + credentials.length === 0)
    throw new UsageError(
      'set takes what to change: --password, --role, --group, --certificate, --version, --meta',
    )
  registry.change(
    name,
    { ...fields, credentials, clears: values.certificate === undefined ? [] : ['certificate'] },
    Date.now(),
  )
  tell(io, values, { name }, `${name} is changed`)
  return 0
}

async function token(
  registry: Registry,
  [name]: string[],
  values: DeviceValues,
  io: CommandIo,
): Promise<number> {
  const made = makeToken()
  const change = {
    credentials: [credentialOf(made)],
    ...(values.replace ? { clears: ['token' as const] } : {}),
  }
  if (!registry.change(name, change, Date.now())) return missing(io, [name])
  tell(io, values, { name, token: made }, made)
  return 0
}

async function list(registry: Registry, _: string[], values: DeviceValues, io: CommandIo): Promise<number> {
  const { group = [], role, disabled } = values
  if (group.length > 1) throw new UsageError('list takes one --group')
  const filter = { group: group[0], role, ...(disabled ? { isEnabled: false } : {}) }
  listDevices(registry.devices(filter), values.json, io.stdout)
  return 0
}

async function show(
  registry: Registry,
  [name]: string[],
  values: DeviceValues,
  io: CommandIo,
): Promise<number> {
  const device = registry.device(name)
  if (device === null) return missing(io, [name])
  showDevice(device, registry.credentialsOf(name), values.json, io.stdout)
  return 0
}

function enable(isEnabled: boolean): Verb {
  return async (registry, names, values, io) => {
    const unknown = names.filter((name) => registry.device(name) === null)
    if (unknown.length > 0) return missing(io, unknown)
    for (const name of names) {
      registry.change(name, { isEnabled }, Date.now())
      tell(io, values, { name, isEnabled }, `${name} is ${isEnabled ? 'enabled' : 'disabled'}`)
    }
    return 0
  }
}

async function remove(
  registry: Registry,
  names: string[],
  values: DeviceValues,
  io: CommandIo,
): Promise<number> {
  const unknown = registry.remove(names)
  if (unknown.length > 0) return missing(io, unknown)
  for (const name of names) tell(io, values, { name, isRemoved: true }, `${name} is removed`)
  return 0
}

async function runImport(
  registry: Registry,
  [file]: string[],
  values: DeviceValues,
  io: CommandIo,
): Promise<number> {
  const count = await importDevices(registry, file, values.tokens, io, values.json)
  if (!values.tokens) tell(io, values, { count }, `${count.toLocaleString('en-US')} devices are registered`)
  return 0
}

function credentialOf(made: string): NewCredential {
  return { kind: 'token', digest: tokenDigest(made) }
}

function missing(io: CommandIo, names: readonly string[]): number {
  io.stderr.write(
    `millrace device: there is no device ${names.map((name) => JSON.stringify(name)).join(', ')}\n`,
  )
  return 1
}

function tell(io: CommandIo, { json }: DeviceValues, object: Record<string, unknown>, text: string): void {
  io.stdout.write(json ? `${JSON.stringify(object)}\n` : `${printable(text)}\n`)
}
