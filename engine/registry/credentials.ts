/** What passes between a gateway, which meets clients, and the main thread, which knows devices. */
import type { DeviceRights } from './device.ts'

/** What a client shows of itself. */
export interface Credentials {
  username: string | null
  password: Uint8Array | null
  /** A certificate that the door has verified, by the SHA-256 of it, and the names in it. */
  certificate: { fingerprint: string; names: readonly string[] } | null
  /** Where it comes from. */
  address: string
}

/** A client is this device, by that credential. */
export interface Grant {
  device: string
  role: string
  groups: string[]
  credential: GrantedBy
  /** When a token runs out; null for never. */
  validUntilMs: number | null
}

/** `name`: a certificate of a trusted authority names the device. */
export type GrantedBy = { kind: 'registered'; id: number } | { kind: 'jwt'; key: string } | { kind: 'name' }

/** Why a client is not let in, as logs and metrics say it. What the client is told is less. */
export type RefusalReason =
  | 'anonymous'
  | 'unknown-device'
  | 'unknown-token'
  | 'unknown-certificate'
  | 'wrong-password'
  | 'no-password'
  | 'other-device'
  | 'token-invalid'
  | 'token-expired'
  | 'disabled'
  | 'unknown-role'
  | 'authentication-busy'
  | 'registry-away'

export type Verdict = { isGranted: true; grant: Grant } | { isGranted: false; reason: RefusalReason }

/** A connection of a device began (1) or ended (-1). */
export interface Visit {
  device: string
  credential: GrantedBy
  change: 1 | -1
  atMs: number
  version: string | null
}

/** Something that a client was refused, so often. */
export interface Refusal {
  what: 'connect' | 'publish' | 'subscribe'
  reason: string
  /** As far as it is known. */
  device: string
  client: string
  address: string
  topic: string
  count: number
}

export type ToRegistry =
  | { kind: 'authenticate'; id: number; credentials: Credentials }
  | { kind: 'visits'; visits: Visit[] }
  | { kind: 'refusals'; refusals: Refusal[] }

export type FromRegistry =
  /** `members`: the names in the grant's groups, where its role asks for them. */
  | { kind: 'verdict'; id: number; verdict: Verdict; members: Record<string, string[]> | null }
  /** What devices may from now on; null for those that are gone. */
  | { kind: 'changed'; devices: { name: string; rights: DeviceRights | null }[] }
  /** The keys that tokens may be signed with from now on. */
  | { kind: 'keys'; keys: string[] }
  /** A device was registered for the first time: who shows no credentials is not let in any more. */
  | { kind: 'used' }
