/**
 * `millrace device import`: a file of devices, all of them or none. Every line is checked before any password is hashed, and what
 * is wrong is told with its line's number.
 */
import { createReadStream } from 'node:fs'
import { availableParallelism } from 'node:os'
import { createInterface } from 'node:readline'
import { printable } from '../audit/printable.ts'
import { DEFAULT_ROLE } from '../registry/device.ts'
import { isToken, makeToken, tokenDigest } from '../registry/device-token.ts'
import { makePasswordPool } from '../registry/password-pool.ts'
import type { NewDevice, Registry } from '../registry/registry.ts'
import { type CommandIo, UsageError } from './command.ts'
import { type DeviceLine, parseCsvLine, readCsvHeader, readJsonLine } from './device-lines.ts'
import {
  certificateOf,
  checkedGroups,
  checkedMetadata,
  checkedName,
  checkedRole,
  checkedVersion,
  checkPassword,
} from './device-options.ts'

/** What is wrong with a file, a line each. */
export class ImportError extends Error {}

interface Entry {
  device: NewDevice
  password: Buffer | null
}

const FAULTS_SHOWN = 20
const PROGRESS_MS = 1000

/** Returns how many were registered. Throws ImportError and RegistryConflict. */
export async function importDevices(
  registry: Registry,
  file: string,
  makesTokens: boolean,
  io: CommandIo,
  isJson: boolean,
): Promise<number> {
  const entries = await readEntries(registry, file, io)
  await hashPasswords(entries, io)
  const tokens = makesTokens ? entries.map(() => makeToken()) : []
  for (const [i, token] of tokens.entries())
    entries[i].device.credentials.push({ kind: 'token', digest: tokenDigest(token) })
  registry.add(
    entries.map(({ device }) => device),
    Date.now(),
  )
  for (const [i, token] of tokens.entries()) io.stdout.write(tokenLine(entries[i].device.name, token, isJson))
  return entries.length
}

function tokenLine(name: string, token: string, isJson: boolean): string {
  if (isJson) return `${JSON.stringify({ name, token })}\n`
  return `${/[",]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name},${token}\n`
}

async function readEntries(registry: Registry, file: string, io: CommandIo): Promise<Entry[]> {
  const entries: Entry[] = []
  const faults: string[] = []
  const lineByName = new Map<string, number>()
  for await (const { number, read } of readLines(file, io)) {
    try {
      const entry = entryOf(read())
      const { name } = entry.device
      const before = lineByName.get(name)
      if (before !== undefined) throw new UsageError(`${JSON.stringify(name)} is in line ${before} already`)
      if (registry.device(name) !== null)
        throw new UsageError(`${JSON.stringify(name)} is registered already`)
      lineByName.set(name, number)
      entries.push(entry)
    } catch (error) {
      if (!(error instanceof UsageError)) throw error
      faults.push(`line ${number}: ${error.message}`)
    }
  }
  if (faults.length > 0) {
    for (const fault of faults.slice(0, FAULTS_SHOWN)) io.stderr.write(`${printable(fault)}\n`)
    throw new ImportError(`${file}: ${faults.length} lines are wrong; no device was registered`)
  }
  return entries
}

/** The lines of a file that say something; `read` throws UsageError. */
async function* readLines(
  file: string,
  io: CommandIo,
): AsyncGenerator<{ number: number; read: () => DeviceLine }> {
  const isCsv = file.endsWith('.csv')
  if (!isCsv && file !== '-' && !/\.(jsonl|ndjson)$/.test(file))
    throw new UsageError('import takes a file that ends in .csv or .jsonl, or -')
  const input = file === '-' ? io.stdin : createReadStream(file)
  let header: string[] | null = null
  let number = 0
  try {
    for await (const raw of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      number++
      const line = number === 1 ? raw.replace(/^\ufeff/, '') : raw
      if (line.trim() === '') continue
      if (!isCsv) yield { number, read: () => readJsonLine(line) }
      else if (header === null) header = readCsvHeader(line)
      else {
        const columns: string[] = header
        yield { number, read: () => parseCsvLine(line, columns) }
      }
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === undefined) throw error
    throw new ImportError(`${file} can't be read (${code ?? message})`, { cause: error })
  }
}

/** Throws UsageError. */
function entryOf(line: DeviceLine): Entry {
  if (line.name === undefined) throw new UsageError('there is no name')
  const password = line.password === undefined ? null : Buffer.from(line.password)
  if (password !== null) checkPassword(password)
  if (line.token !== undefined && !isToken(line.token))
    throw new UsageError('a token is mrt_ and 43 characters, as millrace makes them')
  const device: NewDevice = {
    name: checkedName(line.name),
    role: checkedRole(line.role ?? DEFAULT_ROLE),
    groups: checkedGroups(line.groups ?? []),
    isEnabled: line.enabled ?? true,
    version: checkedVersion(line.version ?? ''),
    metadata: checkedMetadata(line.metadata),
    credentials: [
      ...(line.certificate === undefined ? [] : [certificateOf(line.certificate)]),
      ...(line.token === undefined ? [] : [{ kind: 'token' as const, digest: tokenDigest(line.token) }]),
    ],
  }
  return { device, password }
}

async function hashPasswords(entries: readonly Entry[], { stderr }: CommandIo): Promise<void> {
  const waiting = entries.filter(({ password }) => password !== null)
  if (waiting.length === 0) return
  const pool = makePasswordPool(availableParallelism())
  let done = 0
  const say = () => stderr.write(`hashed ${done} of ${waiting.length} passwords\n`)
  const progress = setInterval(say, PROGRESS_MS)
  try {
    const work = waiting.values()
    const workers = Array.from({ length: availableParallelism() * 2 }, async () => {
      for (const { device, password } of work) {
        device.credentials.push({ kind: 'password', digest: await pool.run({ password, hash: null }) })
        done++
      }
    })
    await Promise.all(workers)
  } finally {
    clearInterval(progress)
    await pool.destroy()
  }
}
