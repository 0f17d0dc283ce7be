/**
 * What a connection has received and not yet taken: the start of a packet, or all that came after a ring was
 * full. Owner: the gateway's thread. Invariant: nothing is held, or held[0, size) begins with a packet's
 * first byte. Small starts are put back before the next read's bytes; a large packet grows here with the
 * bytes that arrive, never ahead of them.
 */

/** A packet up to here is completed in the read buffer's headroom, a larger one is assembled here. */
export const HEADROOM_SIZE_BYTES = 16 << 10
const GROWTH_SIZE_BYTES_MIN = 64 << 10

export class InboundBytes {
  held: Uint8Array | null = null
  size = 0
  /** Size of the packet that is being assembled; 0 when none is. */
  needed = 0

  clear(): void {
    this.held = null
    this.size = 0
    this.needed = 0
  }

  /** Keeps the start of a packet; `needed` is its whole size, 0 while unknown. */
  keepStart(bytes: Uint8Array, start: number, end: number, needed: number): void {
    this.clear()
    if (needed <= HEADROOM_SIZE_BYTES) {
      this.size = end - start
      this.held = new Uint8Array(this.size) // a Buffer's slice would be a view
      this.held.set(bytes.subarray(start, end))
      return
    }
    this.needed = needed
    this.append(bytes, start, end)
  }

  /**
   * Adds bytes behind what is held: of a packet being assembled only its own. Returns how many were taken.
   */
  append(bytes: Uint8Array, start: number, end: number): number {
    const room = this.needed > 0 ? this.needed - this.size : end - start
    const taken = Math.min(room, end - start)
    this.#reserve(this.size + taken)
    this.held!.set(bytes.subarray(start, start + taken), this.size)
    this.size += taken
    return taken
  }

  /** Gives up what is held. */
  take(): Uint8Array {
    const bytes = this.held === null ? new Uint8Array(0) : this.held.subarray(0, this.size)
    this.clear()
    return bytes
  }

  #reserve(size: number): void {
    const { held } = this
    if (held !== null && held.length >= size) return
    let capacity = Math.max(size, this.size * 2)
    if (this.needed > 0) capacity = Math.min(this.needed, Math.max(capacity, GROWTH_SIZE_BYTES_MIN))
    const grown = new Uint8Array(capacity)
    if (held !== null) grown.set(held.subarray(0, this.size))
    this.held = grown
  }
}
