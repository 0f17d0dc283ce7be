/**
 * Connections that are not read for a while because their device sent more than its budget. Owner: the
 * gateway's thread. Invariant: looked through at most once in 20 ms, however often the gateway steps.
 */
const LOOK_INTERVAL_US = 20_000
/** A longer wait is asked for again at its end: times wrap at 2^32. */
const WAIT_US_MAX = 60_000_000

export interface SlowedClient {
  /** Its wait is over. */
  readOn(): void
}

export class SlowedClients {
  #dueUs = new Map<SlowedClient, number>()
  #lookedUs = 0

  get count(): number {
    return this.#dueUs.size
  }

  add(client: SlowedClient, waitUs: number, nowUs: number): void {
    this.#dueUs.set(client, (nowUs + Math.min(waitUs, WAIT_US_MAX)) >>> 0)
  }

  delete(client: SlowedClient): void {
    this.#dueUs.delete(client)
  }

  /** Has those read on whose time has come. */
  // hot: per batch
  step(nowUs: number): void {
    if (this.#dueUs.size === 0 || (nowUs - this.#lookedUs) >>> 0 < LOOK_INTERVAL_US) return
    this.#lookedUs = nowUs
    for (const [client, dueUs] of this.#dueUs) {
      if (((nowUs - dueUs) | 0) < 0) continue
      this.#dueUs.delete(client)
      client.readOn()
    }
  }
}
