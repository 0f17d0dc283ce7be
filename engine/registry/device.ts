/** What is known of a device, and what its parts may be called. Pure; shared by the engine and the command line. */

export interface Device {
  name: string
  role: string
  groups: string[]
  isEnabled: boolean
  /** Of its own software: as registered, or as told in CONNECT by the user property `version`. */
  version: string | null
  metadata: Record<string, string>
  createdMs: number
  /** Null until it has connected. */
  firstSeenMs: number | null
  lastSeenMs: number | null
}

export type CredentialKind = 'password' | 'token' | 'certificate'

/** `digest`: the scrypt hash of a password (password-hash.ts), else SHA-256 in hex, of the token or the certificate. */
export interface NewCredential {
  kind: CredentialKind
  digest: string
}

export interface Credential extends NewCredential {
  id: number
  createdMs: number
}

/** What of a device decides about its connections. */
export interface DeviceRights {
  name: string
  role: string
  groups: string[]
  isEnabled: boolean
  /** Ids of its credentials. */
  credentials: number[]
}

export const DEFAULT_ROLE = 'device'

const NAME_SIZE_BYTES_MAX = 128
export const GROUPS_MAX = 64
const VERSION_LENGTH_MAX = 128
const METADATA_SIZE_BYTES_MAX = 4096

/** Why a device or a group can't be called so; null when it can: both stand as a level in topics. */
export function nameFault(name: string): string | null {
  if (name === '' || Buffer.byteLength(name) > NAME_SIZE_BYTES_MAX)
    return `must have 1 to ${NAME_SIZE_BYTES_MAX} bytes`
  if (!name.isWellFormed() || /[/+#\p{Cc}]/u.test(name) || name.startsWith('$'))
    return 'must fit into a level of a topic: no /, + or #, no control characters, no $ at the start'
  return null
}

export function roleFault(role: string): string | null {
  return /^[\w.-]{1,64}$/.test(role) ? null : 'must be 1 to 64 letters, digits, dots, dashes or underscores'
}

export function versionFault(version: string): string | null {
  return version.length <= VERSION_LENGTH_MAX && version.isWellFormed() && !/\p{Cc}/u.test(version)
    ? null
    : `must have at most ${VERSION_LENGTH_MAX} characters, and no control characters`
}

export function metadataFault(metadata: Record<string, string>): string | null {
  return Buffer.byteLength(JSON.stringify(metadata)) <= METADATA_SIZE_BYTES_MAX
    ? null
    : `must have at most ${METADATA_SIZE_BYTES_MAX} bytes in all`
}

/** SHA-256 of a certificate as 64 hex digits, from any of the usual spellings; null for anything else. */
export function normalFingerprint(text: string): string | null {
  const hex = text.replaceAll(':', '').toLowerCase()
  return /^[0-9a-f]{64}$/.test(hex) ? hex : null
}
