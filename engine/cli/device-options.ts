/** The options about one device, checked: what they may be is the same for a call and for a line of an import. */
import {
  GROUPS_MAX,
  metadataFault,
  type NewCredential,
  nameFault,
  normalFingerprint,
  roleFault,
  versionFault,
} from '../registry/device.ts'
import { hashPassword, passwordFault } from '../registry/password-hash.ts'
import { type CommandIo, type readOptions, UsageError } from './command.ts'
import { readPassword } from './secret-input.ts'

export const DEVICE_OPTIONS = {
  password: { type: 'boolean', default: false },
  token: { type: 'boolean', default: false },
  tokens: { type: 'boolean', default: false },
  replace: { type: 'boolean', default: false },
  certificate: { type: 'string', multiple: true },
  role: { type: 'string' },
  group: { type: 'string', multiple: true },
  version: { type: 'string' },
  meta: { type: 'string', multiple: true },
  disabled: { type: 'boolean', default: false },
  data: { type: 'string', default: './millrace-data' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h' },
} as const

export type DeviceValues = ReturnType<typeof readOptions<typeof DEVICE_OPTIONS>>['values']

export interface DeviceFields {
  role?: string
  groups?: string[]
  version?: string | null
  metadata?: Record<string, string>
  credentials: NewCredential[]
}

export function checkedName(name: string): string {
  check('the name', nameFault(name))
  return name
}

/** `metadata` is what there is already. Throws UsageError. */
export function fieldsOf(values: DeviceValues, metadata: Record<string, string>): DeviceFields {
  const fields: DeviceFields = { credentials: (values.certificate ?? []).map(certificateOf) }
  if (values.role !== undefined) fields.role = checkedRole(values.role)
  if (values.group !== undefined) fields.groups = checkedGroups(values.group.filter((group) => group !== ''))
  if (values.version !== undefined) fields.version = checkedVersion(values.version)
  if (values.meta !== undefined)
    fields.metadata = checkedMetadata({ ...metadata, ...Object.fromEntries(values.meta.map(pairOf)) })
  return fields
}

export function checkedRole(role: string): string {
  check('a role', roleFault(role))
  return role
}

export function checkedGroups(groups: string[]): string[] {
  for (const group of groups) check(`the group ${JSON.stringify(group)}`, nameFault(group))
  if (groups.length > GROUPS_MAX) throw new UsageError(`a device is in at most ${GROUPS_MAX} groups`)
  return groups
}

/** Null for none. */
export function checkedVersion(version: string): string | null {
  check('a version', versionFault(version))
  return version === '' ? null : version
}

/** Without those that are empty. */
export function checkedMetadata(metadata: Record<string, string>): Record<string, string> {
  const kept = Object.fromEntries(Object.entries(metadata).filter(([, value]) => value !== ''))
  check('metadata', metadataFault(kept))
  return kept
}

export function certificateOf(text: string): NewCredential {
  const digest = normalFingerprint(text)
  if (digest === null)
    throw new UsageError('a certificate is named by its SHA-256 fingerprint, 64 hex digits')
  return { kind: 'certificate', digest }
}

export function checkPassword(password: Uint8Array): void {
  check('a password', passwordFault(password))
}

export async function passwordOf(name: string, io: CommandIo): Promise<NewCredential> {
  const password = await readPassword(io, name)
  checkPassword(password)
  return { kind: 'password', digest: hashPassword(password) }
}

function pairOf(text: string): [string, string] {
  const [, key, value] = /^([^=]{1,64})=(.*)$/s.exec(text) ?? []
  if (key === undefined) throw new UsageError(`--meta takes KEY=VALUE, not ${JSON.stringify(text)}`)
  return [key, value]
}

function check(what: string, fault: string | null): void {
  if (fault !== null) throw new UsageError(`${what} ${fault}`)
}
