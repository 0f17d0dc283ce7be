/**
 * The engine's end of the registry: answers the gateways, tells them what changes in the file, whoever changes it, and writes down
 * who was seen when. Owner: the main thread. Invariant: what is told to a gateway goes through its port in the order in which it
 * became true, so that no answer outlives the change that makes it wrong.
 */
import type { MessagePort } from 'node:worker_threads'
import type { AccessConfig } from '../config.ts'
import { EngineError } from '../engine-error.ts'
import type { Fault } from '../fault-log.ts'
import { Role } from './access.ts'
import { Authenticator } from './authenticator.ts'
import type { FromRegistry, Refusal, ToRegistry, Verdict, Visit } from './credentials.ts'
import { JwtKeys } from './jwt-keys.ts'
import { PasswordPool } from './password-pool.ts'
import { RefusalLog } from './refusal-log.ts'
import { Registry, type Sighting } from './registry.ts'

/** A look costs microseconds. */
const LOOK_INTERVAL_MS = 250
const SIGHTINGS_PER_LOOK = 2000
const REFUSAL_INTERVAL_MS = 10_000
const SWEEP_LOOKS = 240
const SQLITE_BUSY = 5

export interface KeeperEvents {
  onFault(fault: Fault): void
  onRefusals(refusals: readonly Refusal[]): void
}

/** How passwords were verified. */
export interface PasswordFigures {
  hashed: number
  remembered: number
}

export class RegistryKeeper {
  #events: KeeperEvents
  #registry: Registry
  #pool = new PasswordPool()
  #jwt: JwtKeys | null
  #authenticator: Authenticator
  #roles: Record<string, Role>
  #ports: MessagePort[] = []
  /** Devices that a gateway may know something of. */
  #granted = new Set<string>()
  /** Whether a gateway keeps names of a group's members. */
  #tellsMembers = false
  #sightings = new Map<string, Sighting>()
  #refusals = new RefusalLog(REFUSAL_INTERVAL_MS)
  #dataVersion: number
  #lastChange: number
  #looking: NodeJS.Timeout | undefined
  #looks = 0

  /** Throws EngineError. */
  static async open(path: string, access: AccessConfig, events: KeeperEvents): Promise<RegistryKeeper> {
    const jwt = access.jwt === null ? null : new JwtKeys(access.jwt)
    await jwt?.refresh()
    return new RegistryKeeper(new Registry(path, { waitMs: 0, isDurable: false }), jwt, access, events)
  }

  private constructor(
    registry: Registry,
    jwt: JwtKeys | null,
    { roles }: AccessConfig,
    events: KeeperEvents,
  ) {
    this.#registry = registry
    this.#jwt = jwt
    this.#events = events
    this.#roles = Object.fromEntries(Object.entries(roles).map(([name, role]) => [name, new Role(role)]))
    this.#authenticator = new Authenticator({ registry, passwords: this.#pool, jwt, roles, nowMs: Date.now })
    this.#dataVersion = registry.dataVersion
    this.#lastChange = registry.lastChange
    tidy(registry)
    this.#looking = setInterval(() => this.#look(), LOOK_INTERVAL_MS)
  }

  /** Whether a device was ever registered. */
  get isUsed(): boolean {
    return this.#lastChange > 0
  }

  get passwords(): PasswordFigures {
    const { passwordsHashed: hashed, passwordsRemembered: remembered } = this.#authenticator
    return { hashed, remembered }
  }

  /** Serves the gateway at the other end. */
  serve(port: MessagePort): void {
    this.#ports.push(port)
    port.on('message', (message: ToRegistry) => {
      switch (message.kind) {
        case 'authenticate':
          void this.#answer(port, message)
          break
        case 'visits':
          for (const visit of message.visits) this.#visited(visit)
          break
        case 'refusals':
          for (const refusal of message.refusals) this.#refusals.note(refusal)
      }
    })
  }

  async close(): Promise<void> {
    clearInterval(this.#looking)
    for (const port of this.#ports) port.close()
    this.#writeSightings(Number.POSITIVE_INFINITY)
    await this.#pool.close()
    this.#registry.close()
  }

  async #answer(
    port: MessagePort,
    { id, credentials }: Extract<ToRegistry, { kind: 'authenticate' }>,
  ): Promise<void> {
    let verdict: Verdict = { isGranted: false, reason: 'registry-away' }
    let members: Record<string, string[]> | null = null
    try {
      verdict = await this.#authenticator.verdict(credentials)
      if (verdict.isGranted) {
        const { device, role, groups } = verdict.grant
        this.#granted.add(device)
        if (this.#roles[role].usesMembers) {
          this.#tellsMembers = true
          members = Object.fromEntries(groups.map((group) => [group, this.#registry.membersOf(group)]))
        }
      }
      this.#over('REGISTRY_READ')
    } catch (error) {
      this.#fault(
        'REGISTRY_READ',
        `the registry can't be read (${(error as Error).message}): nobody new is let in`,
      )
    }
    this.#post(port, { kind: 'verdict', id, verdict, members })
  }

  #visited(visit: Visit): void {
    const { device, atMs, version } = visit
    this.#authenticator.visited(visit)
    const before = this.#sightings.get(device)
    this.#sightings.set(device, { device, seenMs: atMs, version: version ?? before?.version ?? null })
  }

  #look(): void {
    try {
      const dataVersion = this.#registry.dataVersion
      if (dataVersion !== this.#dataVersion) {
        this.#tellChanges()
        this.#dataVersion = dataVersion
      }
      this.#over('REGISTRY_READ')
    } catch (error) {
      this.#fault(
        'REGISTRY_READ',
        `the registry can't be read (${(error as Error).message}): changes have no effect`,
      )
    }
    this.#writeSightings(SIGHTINGS_PER_LOOK)
    const refusals = this.#refusals.due(performance.now())
    if (refusals.length > 0) this.#events.onRefusals(refusals)
    if (this.#jwt !== null) void this.#refreshKeys(this.#jwt)
    if (this.#looks++ % SWEEP_LOOKS === 0) this.#authenticator.sweep()
  }

  #tellChanges(): void {
    const { lastChange } = this.#registry
    if (lastChange === this.#lastChange) return
    const names = this.#registry.changedSince(this.#lastChange)
    const isFirst = this.#lastChange === 0
    const concerned = this.#tellsMembers ? names : names.filter((name) => this.#granted.has(name))
    const devices = concerned.map((name) => ({ name, rights: this.#registry.rightsOf(name) }))
    for (const { name, rights } of devices) if (rights === null) this.#granted.delete(name)
    this.#lastChange = lastChange
    for (const port of this.#ports) {
      if (isFirst) this.#post(port, { kind: 'used' })
      if (devices.length > 0) this.#post(port, { kind: 'changed', devices })
    }
  }

  /** While another process writes, later. */
  #writeSightings(countMax: number): void {
    if (this.#sightings.size === 0) return
    const sightings: Sighting[] = []
    for (const sighting of this.#sightings.values()) if (sightings.push(sighting) >= countMax) break
    try {
      this.#registry.noteSeen(sightings)
      for (const { device } of sightings) this.#sightings.delete(device)
      this.#over('REGISTRY_WRITE')
    } catch (error) {
      if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return
      this.#fault('REGISTRY_WRITE', `when devices were seen can't be written (${(error as Error).message})`)
    }
  }

  async #refreshKeys(jwt: JwtKeys): Promise<void> {
    try {
      if (!(await jwt.refresh())) return
      for (const port of this.#ports) this.#post(port, { kind: 'keys', keys: jwt.ids })
      this.#over('JWT_KEYS')
    } catch (error) {
      if (!(error instanceof EngineError)) throw error
      this.#fault('JWT_KEYS', `${error.message}: the keys from before go on`)
    }
  }

  #post(port: MessagePort, message: FromRegistry): void {
    port.postMessage(message)
  }

  #fault(code: string, message: string): void {
    this.#events.onFault({ code, message, isOver: false })
  }

  #over(code: string): void {
    this.#events.onFault({ code, message: 'the registry is in order again', isOver: true })
  }
}

/** A gateway that starts knows of no device yet, so no change before concerns it. */
function tidy(registry: Registry): void {
  try {
    registry.forgetChanges(registry.lastChange)
  } catch {
    // another process writes, or the disk is full: the next start does it
  }
}
