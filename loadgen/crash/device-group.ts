/**
 * Simulated devices of one kind (door, protocol, payload) that keep what was acknowledged to them, for as many engine
 * deaths as it takes. Owned by the harness's thread. What they send is decided by the plan; what the server owes for it
 * is what `outcomes` say.
 */
import { type ConnectionOutcome, emptyCounters, type FleetCounters } from '../fleet-options.ts'
import { type PublishFormat, PublishTemplate } from '../publish-template.ts'
import type { TelemetryPlan } from '../telemetry.ts'
import type { Address } from '../transport.ts'
import { DeviceLink, type LinkContext, type Redelivery } from './device-link.ts'

export class DeviceGroup implements LinkContext {
  readonly plan: TelemetryPlan
  readonly format: PublishFormat
  readonly template: PublishTemplate
  readonly address: Address
  readonly counters: FleetCounters = emptyCounters()
  readonly reasons: Record<string, number> = {}
  readonly links: DeviceLink[]
  /** For connections opened from now on. */
  redelivery: Redelivery = 'dup'

  constructor(plan: TelemetryPlan, format: PublishFormat, address: Address, window: number) {
    this.plan = plan
    this.format = format
    this.template = new PublishTemplate(plan, format)
    this.address = address
    this.links = Array.from({ length: plan.connections }, (_, connection) => {
      return new DeviceLink(this, connection, window)
    })
  }

  connect(): void {
    for (const link of this.links) link.connect()
  }

  close(): void {
    for (const link of this.links) link.close()
  }

  /** Breaks all connections, as a dead network does. */
  cut(): void {
    for (const link of this.links) link.cut()
  }

  /** All devices come back over new connections before the old ones are gone. */
  move(): void {
    for (const link of this.links) link.move()
  }

  get inFlight(): number {
    return this.links.reduce((sum, { window }) => sum + window.inFlight, 0)
  }

  get sent(): number {
    return this.links.reduce((sum, { window }) => sum + window.next, 0)
  }

  /** Nothing waits for an answer, and everybody is connected. */
  get isSettled(): boolean {
    return this.links.every((link) => link.isOpen && link.window.inFlight === 0)
  }

  outcomes(): ConnectionOutcome[] {
    return this.links.map(({ connection, window }) => window.outcome(connection))
  }

  note(reason: string): void {
    this.reasons[reason] = (this.reasons[reason] ?? 0) + 1
  }
}
