/** A line of a file of devices: CSV (RFC 4180, a line a record) with named columns, or a JSON object. Pure; throws UsageError. */
import { UsageError } from './command.ts'

/** A device as a line gives it: texts, whatever the file's format. */
export interface DeviceLine {
  name?: string
  password?: string
  token?: string
  certificate?: string
  role?: string
  groups?: string[]
  enabled?: boolean
  version?: string
  metadata: Record<string, string>
}

const TEXTS = ['name', 'password', 'token', 'certificate', 'role', 'version'] as const
const COLUMNS = [...TEXTS, 'groups', 'enabled']
const META = 'meta.'

export function readCsvHeader(line: string): string[] {
  const header = fieldsOf(line)
  const unknown = header.find((column) => !COLUMNS.includes(column) && !/^meta\..{1,64}$/.test(column))
  if (unknown !== undefined)
    throw new UsageError(
      `there is no column ${JSON.stringify(unknown)}; known are ${COLUMNS.join(', ')} and meta.KEY`,
    )
  if (!header.includes('name')) throw new UsageError('the first line must name the columns, name among them')
  if (new Set(header).size !== header.length) throw new UsageError('a column is named twice')
  return header
}

/** An empty field is one that is not there. */
export function parseCsvLine(line: string, header: readonly string[]): DeviceLine {
  const fields = fieldsOf(line)
  if (fields.length !== header.length)
    throw new UsageError(`there are ${fields.length} fields for ${header.length} columns`)
  const device: DeviceLine = { metadata: {} }
  fields.forEach((text, i) => {
    if (text === '') return
    const column = header[i]
    if (column === 'groups') device.groups = text.split(';')
    else if (column === 'enabled') device.enabled = booleanOf(text)
    else if (column.startsWith(META)) device.metadata[column.slice(META.length)] = text
    else device[column as (typeof TEXTS)[number]] = text
  })
  return device
}

export function readJsonLine(line: string): DeviceLine {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    throw new UsageError('this is no JSON object')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UsageError('this is no JSON object')
  const { groups, enabled, metadata = {}, ...texts } = value as Record<string, unknown>
  const device: DeviceLine = { metadata: textsOf(metadata, 'metadata') }
  if (groups !== undefined) {
    if (!Array.isArray(groups) || !groups.every((group) => typeof group === 'string'))
      throw new UsageError('groups must be a list of names')
    device.groups = groups
  }
  if (enabled !== undefined) {
    if (typeof enabled !== 'boolean') throw new UsageError('enabled must be true or false')
    device.enabled = enabled
  }
  const unknown = Object.keys(texts).find((key) => !COLUMNS.includes(key))
  if (unknown !== undefined)
    throw new UsageError(
      `there is no field ${JSON.stringify(unknown)}; known are ${COLUMNS.join(', ')} and metadata`,
    )
  return Object.assign(device, textsOf(texts, 'a field'))
}

function textsOf(value: unknown, what: string): Record<string, string> {
  const isTexts =
    typeof value === 'object' &&
    value !== null &&
    Object.values(value).every((text) => typeof text === 'string')
  if (!isTexts) throw new UsageError(`${what} must be text`)
  return value as Record<string, string>
}

function booleanOf(text: string): boolean {
  if (/^(true|yes|1)$/i.test(text)) return true
  if (/^(false|no|0)$/i.test(text)) return false
  throw new UsageError('enabled must be true or false')
}

function fieldsOf(line: string): string[] {
  const fields: string[] = []
  const field = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y
  for (;;) {
    const parts = field.exec(line)
    if (parts === null) throw new UsageError('a quote stands where none may be')
    fields.push(parts[1] === undefined ? parts[2] : parts[1].replaceAll('""', '"'))
    if (parts[3] === '') return fields
  }
}
