/**
 * What a connection's state machine asks of its socket: TCP, a WebSocket, or a piece of memory in a test. The
 * adapter calls `receive`, `drained` and `closed` on the connection; the connection calls these.
 */
import type { Peer } from './peer.ts'

export interface Transport {
  readonly peer: Peer
  /** Bytes written that the peer has not taken. When they come back to 0, `drained` is called. */
  readonly bufferedBytes: number
  /** Sends. True when the memory of `bytes` is free again; false when the transport keeps it, for good. */
  write(bytes: Uint8Array): boolean
  /** Sends what was written as far as the peer takes it soon, then closes; `code` is for WebSockets. */
  close(code?: number): void
  /** Stops reading. A WebSocket cannot: what arrives meanwhile is held by the connection, within bounds. */
  pause(): void
  resume(): void
}
