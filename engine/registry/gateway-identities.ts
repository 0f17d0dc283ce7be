/**
 * The gateway's end of the registry: who clients are, and what they may. What a client shows is looked for among what was
 * granted lately; else the main thread is asked. Owner: the gateway's thread. Invariant: within a moment of a change no connection
 * goes on with more than its device may.
 */
import { isLoopback } from '../address.ts'
import type { AccessConfig } from '../config.ts'
import { Access, Role } from './access.ts'
import type {
  Credentials,
  FromRegistry,
  Grant,
  Refusal,
  RefusalReason,
  ToRegistry,
  Visit,
} from './credentials.ts'
import type { DeviceRights } from './device.ts'
import { GrantCache } from './grant-cache.ts'
import { RefusalLog } from './refusal-log.ts'

const REFUSAL_INTERVAL_MS = 1000
/** Sweeps between looks for grants that are over: there may be many. */
const GRANT_SWEEPS = 60
const ANONYMOUS = 'anonymous'

export interface IdentityOptions {
  access: AccessConfig
  /** Who shows no credentials is let in from anywhere, also after devices were registered. */
  allowsAnonymous: boolean
  /** A device was registered once. */
  isUsed: boolean
  /** To the main thread. */
  post: (message: ToRegistry) => void
}

/** A connection, as a change of what it may concerns it. */
export interface IdentifiedClient {
  /** `changed`: its device may something else now, or nothing; `expired`: its token; `anonymous`: only devices are let in now. */
  endUnauthorized(why: 'changed' | 'expired' | 'anonymous'): void
  /** What it may publish to is to be asked again. */
  accessChanged(): void
}

/** Who a connection is; it goes back by `leave`. */
export interface Identity {
  /** Null for anonymous clients. */
  readonly device: string | null
  readonly access: Access
}

interface Visitor extends Identity {
  readonly client: IdentifiedClient
  readonly grant: Grant | null
  readonly key: string
  readonly usesMembers: boolean
}

/** `grant` is null for an anonymous client. */
export interface Granted {
  isGranted: true
  grant: Grant | null
  key: string
}

/** Of a client that shows nothing, and need not. */
export const UNKNOWN: Granted = { isGranted: true, grant: null, key: '' }

export type Answer = Granted | { isGranted: false; reason: RefusalReason }

/** What is known of the connection that begins. */
export interface Arrival {
  client: IdentifiedClient
  clientId: string
  /** Of the device's own software. */
  version: string | null
  nowMs: number
}

export class GatewayIdentities {
  #options: IdentityOptions
  #isUsed: boolean
  #roles: Record<string, Role>
  #grants = new GrantCache()
  #waiting = new Map<number, { key: string; done: (answer: Answer) => void }>()
  #lastId = 0
  /** By device. */
  #visitors = new Map<string | null, Set<Visitor>>()
  #expiring = new Set<Visitor>()
  /** Of groups that a connection's rules ask for. */
  #members = new Map<string, Set<string>>()
  #anonymousAccess: Access | null = null
  #visits: Visit[] = []
  #refusals = new RefusalLog(REFUSAL_INTERVAL_MS)
  #sweeps = 0

  constructor(options: IdentityOptions) {
    const { roles } = options.access
    this.#options = options
    this.#isUsed = options.isUsed
    this.#roles = Object.fromEntries(Object.entries(roles).map(([name, role]) => [name, new Role(role)]))
  }

  /** The answer, at once; or, when the main thread has to be asked, what cancels the question, and `done` is called later. */
  identify(credentials: Credentials, nowMs: number, done: (answer: Answer) => void): Answer | (() => void) {
    const { username, password, certificate, address } = credentials
    const isBare = username === null && password === null && certificate === null
    // As long as there are no devices, no credentials can be theirs.
    if (isBare || !this.#isUsed) {
      if (this.#options.allowsAnonymous || (!this.#isUsed && isLoopback(address))) return UNKNOWN
      if (isBare) return { isGranted: false, reason: 'anonymous' }
    }
    const key = this.#grants.keyOf(credentials)
    const grant = this.#grants.find(key, nowMs)
    if (grant !== null) return { isGranted: true, grant, key }
    const id = ++this.#lastId
    this.#waiting.set(id, { key, done })
    this.#options.post({ kind: 'authenticate', id, credentials })
    return () => this.#waiting.delete(id)
  }

  /** A connection begins, as whom it was granted to be. */
  enter({ grant, key }: Granted, arrival: Arrival): Identity {
    const device = grant?.device ?? null
    const access = this.accessOf(grant, arrival.clientId)
    const { usesMembers } = this.#roles[grant?.role ?? ANONYMOUS]
    const visitor = { device, access, client: arrival.client, grant, key, usesMembers }
    const same = this.#visitors.get(device)
    if (same === undefined) this.#visitors.set(device, new Set([visitor]))
    else same.add(visitor)
    if (grant?.validUntilMs != null) this.#expiring.add(visitor)
    this.#noteVisit(visitor, 1, arrival.version, arrival.nowMs)
    return visitor
  }

  leave(identity: Identity, nowMs: number): void {
    const visitor = identity as Visitor
    const same = this.#visitors.get(visitor.device)
    if (same === undefined || !same.delete(visitor)) return
    if (same.size === 0) this.#visitors.delete(visitor.device)
    this.#expiring.delete(visitor)
    this.#noteVisit(visitor, -1, null, nowMs)
  }

  /** For the log. */
  noteRefusal(refusal: Refusal): void {
    this.#refusals.note(refusal)
  }

  /** Once a second. */
  sweep(nowMs: number): void {
    for (const { client, grant } of [...this.#expiring]) {
      if (nowMs > (grant?.validUntilMs ?? nowMs)) client.endUnauthorized('expired')
    }
    if (this.#visits.length > 0) this.#options.post({ kind: 'visits', visits: this.#visits })
    this.#visits = []
    const refusals = this.#refusals.due(nowMs)
    if (refusals.length > 0) this.#options.post({ kind: 'refusals', refusals })
    if (this.#sweeps++ % GRANT_SWEEPS === 0) this.#grants.sweep(nowMs)
  }

  /** Takes in a message of the main thread. */
  handle(message: FromRegistry, nowMs: number): void {
    switch (message.kind) {
      case 'verdict':
        this.#takeVerdict(message, nowMs)
        break
      case 'changed':
        for (const { name, rights } of message.devices) this.#deviceChanged(name, rights)
        break
      case 'keys':
        this.#keysChanged(new Set(message.keys))
        break
      case 'used':
        this.#isUsed = true
        if (this.#options.allowsAnonymous) break
        for (const { client } of [...(this.#visitors.get(null) ?? [])]) client.endUnauthorized('anonymous')
    }
  }

  /** Anonymous clients are many, and alike as long as their identifiers do not count. */
  accessOf(grant: Grant | null, client: string): Access {
    const role = this.#roles[grant?.role ?? ANONYMOUS]
    if (grant === null) {
      const nobody = { device: null, client, groups: [], members: [] }
      if (role.usesClient) return new Access(role, nobody)
      this.#anonymousAccess ??= new Access(role, nobody)
      return this.#anonymousAccess
    }
    const { device, groups } = grant
    const members = role.usesMembers ? groups.map((group) => this.#membersOf(group)) : []
    return new Access(role, { device, client, groups, members })
  }

  #membersOf(group: string): Set<string> {
    let members = this.#members.get(group)
    if (members === undefined) {
      members = new Set()
      this.#members.set(group, members)
    }
    return members
  }

  #takeVerdict({ id, verdict, members }: Extract<FromRegistry, { kind: 'verdict' }>, nowMs: number): void {
    for (const [group, names] of Object.entries(members ?? {})) {
      const known = this.#membersOf(group)
      for (const name of names) known.add(name)
    }
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) return
    this.#waiting.delete(id)
    const { key, done } = waiting
    if (verdict.isGranted) this.#grants.put(key, verdict.grant, nowMs)
    done(verdict.isGranted ? { ...verdict, key } : verdict)
  }

  #deviceChanged(name: string, rights: DeviceRights | null): void {
    this.#grants.forgetDevice(name)
    for (const { client, grant } of [...(this.#visitors.get(name) ?? [])]) {
      if (grant !== null && !isStillGranted(grant, rights)) client.endUnauthorized('changed')
    }
    for (const [group, members] of this.#members) {
      const isMember = rights?.isEnabled === true && rights.groups.includes(group)
      if (isMember === members.has(name)) continue
      if (isMember) members.add(name)
      else members.delete(name)
      this.#membersChanged(group, isMember)
    }
  }

  /** Who lost a member may have subscribed to what is the member's: it has to come back. */
  #membersChanged(group: string, isGain: boolean): void {
    for (const visitors of [...this.#visitors.values()]) {
      for (const { client, grant, usesMembers } of [...visitors]) {
        if (!usesMembers || !grant?.groups.includes(group)) continue
        if (isGain) client.accessChanged()
        else client.endUnauthorized('changed')
      }
    }
  }

  #keysChanged(keys: ReadonlySet<string>): void {
    const isOver = (grant: Grant | null) =>
      grant?.credential.kind === 'jwt' && !keys.has(grant.credential.key)
    this.#grants.forgetWhere(isOver)
    for (const { client, grant } of [...this.#expiring]) if (isOver(grant)) client.endUnauthorized('changed')
  }

  #noteVisit({ grant, key }: Visitor, change: 1 | -1, version: string | null, atMs: number): void {
    if (grant === null) return
    this.#grants.visit(key, change, atMs)
    this.#visits.push({ device: grant.device, credential: grant.credential, change, atMs, version })
  }
}

function isStillGranted({ role, groups, credential }: Grant, rights: DeviceRights | null): boolean {
  if (rights === null || !rights.isEnabled || rights.role !== role) return false
  if (rights.groups.length !== groups.length || rights.groups.some((group, i) => group !== groups[i]))
    return false
  return credential.kind !== 'registered' || rights.credentials.includes(credential.id)
}
