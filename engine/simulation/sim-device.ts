/** What the simulation asks of whatever sends readings, and what such a device asks of it. */
import type { IngestConnection, IngestTransport } from '../gateway/ingest-connection.ts'
import type { SimSocket } from './sim-socket.ts'
import type { Trace } from './trace.ts'

export interface SimDevice {
  /** Nothing waits for its acknowledgement. */
  readonly isIdle: boolean
  /** Connects, sends again what is due, and publishes if it may. */
  act(host: SimHost, mayPublish: boolean): void
  /** Loses its connection, or makes another nuisance of itself. */
  disturb(host: SimHost): void
  /** The engine has died, and with it all connections. */
  forgetEngine(): void
}

/** The world around a device. */
export interface SimHost {
  readonly nowMs: number
  readonly trace: Trace
  /** Opens a connection to one of the gateways; false when it is refused. */
  open(socket: SimSocket, clientId: string): boolean
  /** The same for a plain WebSocket; null when it is refused. */
  openIngest(
    transport: IngestTransport,
    stream: number,
    device: string,
    session: string,
  ): IngestConnection | null
}
