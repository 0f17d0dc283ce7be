/**
 * A TCP connection in memory: bytes are on their way for as long as the simulation likes, arrive in pieces of any size,
 * and are lost from any byte on when it is cut. The device's end knows of a cut at once, the gateway's end later.
 */
import type { Prng } from '../../base/prng.ts'
import type { MqttConnection } from '../gateway/mqtt-connection.ts'
import type { Peer } from '../gateway/peer.ts'
import type { Transport } from '../gateway/transport.ts'

const SCRATCH_SIZE_BYTES = 64 << 10
const HEADROOM_SIZE_BYTES = 4 << 10
const scratch = new Uint8Array(SCRATCH_SIZE_BYTES)

/** The device's end. */
export interface SocketOwner {
  receive(socket: SimSocket, bytes: Uint8Array): void
  /** The gateway has ended the connection, and all it wrote was received. */
  ended(socket: SimSocket): void
}

export class SimSocket implements Transport {
  readonly peer: Peer = { address: '192.0.2.1', identity: null }
  readonly owner: SocketOwner
  /** Told what the gateway writes, when it writes it. */
  readonly onWritten: (bytes: Uint8Array) => void
  connection: MqttConnection | null = null
  isPaused = false
  /** The gateway's kernel takes no more bytes: the device does not read. */
  isStuck = false
  /** The device's end is gone. */
  isCut = false
  /** The gateway's end is. */
  isEnded = false
  #isAnswered = false
  #toGateway = new ByteQueue()
  #toDevice = new ByteQueue()
  #stuck = new ByteQueue()

  constructor(owner: SocketOwner, onWritten: (bytes: Uint8Array) => void) {
    this.owner = owner
    this.onWritten = onWritten
  }

  get bufferedBytes(): number {
    return this.#stuck.sizeBytes
  }

  /** Nothing more happens here. */
  get isOver(): boolean {
    return this.isCut && this.isEnded
  }

  get sendingSizeBytes(): number {
    return this.#toGateway.sizeBytes
  }

  // the gateway's side

  write(bytes: Uint8Array): boolean {
    this.#isAnswered = true
    this.onWritten(bytes)
    if (this.isStuck) {
      this.#stuck.push(bytes) // kept, not copied: that is what `false` says
      return false
    }
    if (!this.isCut) this.#toDevice.push(bytes.slice())
    return true
  }

  close(): void {
    this.isEnded = true
    this.#toGateway.clear()
    this.unstick()
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
  }

  // the device's side

  send(bytes: Uint8Array): void {
    if (!this.isEnded) this.#toGateway.push(bytes)
  }

  /**
   * The device gives the connection up; of what it sent the first bytes still arrive, as many as the dice say. Without an
   * answer to its CONNECT nothing does: what an eager client sent behind a CONNECT that comes after its next
   * connection's counts as the newer, and nobody can tell that it is not.
   */
  cut(prng: Prng): void {
    this.isCut = true
    this.#toDevice.clear()
    const isLost = !this.#isAnswered || prng.unit() < 0.5
    this.#toGateway.truncate(isLost ? 0 : prng.between(0, this.#toGateway.sizeBytes))
  }

  // the network's

  /** Brings up to `sizeBytes` to the gateway; with none left of a connection that was cut, the gateway learns of it. */
  bringToGateway(sizeBytes: number): void {
    const { connection } = this
    if (connection === null || this.isEnded) return
    if (this.isCut && this.#toGateway.sizeBytes === 0) {
      this.isEnded = true
      connection.closed()
      return
    }
    if (this.isPaused) return
    const bytes = this.#toGateway.take(Math.min(sizeBytes, SCRATCH_SIZE_BYTES - HEADROOM_SIZE_BYTES))
    if (bytes.length === 0) return
    scratch.set(bytes, HEADROOM_SIZE_BYTES)
    connection.receive(scratch, HEADROOM_SIZE_BYTES, HEADROOM_SIZE_BYTES + bytes.length, HEADROOM_SIZE_BYTES)
    scratch.fill(0xee, 0, HEADROOM_SIZE_BYTES + bytes.length) // the next read's
  }

  bringToDevice(sizeBytes: number): void {
    if (this.isCut) return
    const bytes = this.#toDevice.take(sizeBytes)
    if (bytes.length > 0) this.owner.receive(this, bytes)
    else if (this.isEnded && !this.isCut) {
      this.isCut = true
      this.owner.ended(this)
    }
  }

  /** The device reads again. */
  unstick(): void {
    this.isStuck = false
    const bytes = this.#stuck.take(Number.POSITIVE_INFINITY)
    if (bytes.length === 0) return
    if (!this.isCut) this.#toDevice.push(bytes)
    if (!this.isEnded) this.connection?.drained()
  }
}

class ByteQueue {
  sizeBytes = 0
  #parts: Uint8Array[] = []

  push(bytes: Uint8Array): void {
    this.#parts.push(bytes)
    this.sizeBytes += bytes.length
  }

  /** Up to so many bytes, a copy. */
  take(sizeBytesMax: number): Uint8Array {
    const bytes = new Uint8Array(Math.min(sizeBytesMax, this.sizeBytes))
    for (let offset = 0; offset < bytes.length; ) {
      const part = this.#parts[0]
      const size = Math.min(part.length, bytes.length - offset)
      bytes.set(part.subarray(0, size), offset)
      offset += size
      if (size === part.length) this.#parts.shift()
      else this.#parts[0] = part.subarray(size)
    }
    this.sizeBytes -= bytes.length
    return bytes
  }

  /** Forgets what lies behind the first `sizeBytes`. */
  truncate(sizeBytes: number): void {
    const kept = this.take(sizeBytes)
    this.clear()
    this.push(kept)
  }

  clear(): void {
    this.#parts = []
    this.sizeBytes = 0
  }
}
