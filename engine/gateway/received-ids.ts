/**
 * The packet identifiers of the QoS 2 messages that a connection has received and that its client has not
 * released, each with the lane its message went to ([MQTT-4.3.3-10]). Owner: the gateway's thread. Pages of
 * 256 identifiers, made as they are used: at most 66 KB.
 */
const PAGE_SIZE = 256
const PAGE_COUNT = 256

export class ReceivedIds {
  count = 0
  /** Lane + 1; 0 for an identifier that is free. */
  #pages: (Uint8Array | undefined)[] = new Array(PAGE_COUNT).fill(undefined)

  has(packetId: number): boolean {
    return this.laneOf(packetId) >= 0
  }

  /** -1 for an identifier that is free. */
  laneOf(packetId: number): number {
    const page = this.#pages[packetId >>> 8]
    return page === undefined ? -1 : page[packetId & 0xff] - 1
  }

  /** `lane` is below 255. */
  add(packetId: number, lane: number): void {
    const index = packetId >>> 8
    const page = this.#pages[index] ?? new Uint8Array(PAGE_SIZE)
    this.#pages[index] = page
    if (page[packetId & 0xff] === 0) this.count++
    page[packetId & 0xff] = lane + 1
  }

  delete(packetId: number): void {
    const page = this.#pages[packetId >>> 8]
    if (page === undefined || page[packetId & 0xff] === 0) return
    page[packetId & 0xff] = 0
    this.count--
  }
}
