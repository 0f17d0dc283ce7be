/**
 * One connection's messages in flight: which are unanswered, since when, and what became of the others.
 * Message k has packet id k mod `#idCycle` + 1 and slot k mod size; the cycle is a multiple of the size, so
 * the id alone finds the slot. Invariant: `answered` <= `next` <= `answered` + size, and every message before
 * `answered` has its answer.
 */
import type { ConnectionOutcome, FleetCounters } from './fleet-options.ts'

const PACKET_ID_MAX = 65_535
const Answer = { none: 0, acknowledged: 1, refused: 2 } as const
type Answer = (typeof Answer)[keyof typeof Answer]

export class PublishWindow {
  readonly size: number
  /** The oldest message without an answer. */
  answered = 0
  /** The message to be sent next. */
  next = 0
  readonly #idCycle: number
  readonly #dueMs: Float64Array
  readonly #answers: Uint8Array
  readonly #refused: number[] = []
  readonly #republished: [number, number][] = []
  readonly #counters: FleetCounters
  readonly #onLatency: (latencyMs: number, count: number) => void
  /**
   * When the read under way began; acknowledgements in it with the same due time become one latency record.
   */
  #readAtMs = 0
  #latencyDueMs = 0
  #latencyCount = 0

  constructor(size: number, counters: FleetCounters, onLatency: (latencyMs: number, count: number) => void) {
    this.size = size
    this.#idCycle = size * Math.floor(PACKET_ID_MAX / size)
    this.#dueMs = new Float64Array(size)
    this.#answers = new Uint8Array(size)
    this.#counters = counters
    this.#onLatency = onLatency
  }

  get inFlight(): number {
    return this.next - this.answered
  }

  packetId(message: number): number {
    return (message % this.#idCycle) + 1
  }

  /** True when this message in flight has no answer yet. */
  isOpen(message: number): boolean {
    return this.#answers[message % this.size] === Answer.none
  }

  /** The next `count` messages are on their way; their latency counts from `dueMs`. */
  // hot: per write
  send(count: number, dueMs: number): void {
    let slot = this.next % this.size
    for (let left = count; left > 0; left--) {
      this.#dueMs[slot] = dueMs
      if (++slot === this.size) slot = 0
    }
    this.next += count
  }

  /** A PUBACK. Answers in order are the fast path; one that overtakes older messages waits in its slot. */
  // hot: per message
  acknowledge(packetId: number, reason: number): void {
    const answer = reason < 0x80 ? Answer.acknowledged : Answer.refused
    const expected = (this.answered % this.#idCycle) + 1
    if (packetId !== expected || this.answered === this.next) {
      this.#acknowledgeEarly(packetId - expected, answer)
      return
    }
    this.#answer(answer)
    while (this.answered < this.next && this.#answers[this.answered % this.size] !== Answer.none) {
      const early = this.#answers[this.answered % this.size] as Answer
      this.#answers[this.answered % this.size] = Answer.none
      this.#advance(early)
    }
  }

  /** A cumulative acknowledgement: everything before `message`. */
  acknowledgeBefore(message: number): void {
    if (message > this.next) {
      this.#counters.strayAcks++
      return
    }
    while (this.answered < message) this.#answer(Answer.acknowledged)
  }

  /** Acknowledgements that follow arrived at `nowMs`: one clock reading and few latency records per read. */
  // hot: per read
  beginRead(nowMs: number): void {
    this.#readAtMs = nowMs
  }

  // hot: per read
  endRead(): void {
    if (this.#latencyCount > 0) this.#onLatency(this.#readAtMs - this.#latencyDueMs, this.#latencyCount)
    this.#latencyCount = 0
  }

  /** What is in flight is published anew, so the server may store it twice. */
  noteRepublished(): void {
    if (this.inFlight > 0) this.#republished.push([this.answered, this.next])
  }

  outcome(connection: number): ConnectionOutcome {
    const acknowledgedEarly: number[] = []
    for (let message = this.answered; message < this.next; message++) {
      if (this.#answers[message % this.size] === Answer.acknowledged) acknowledgedEarly.push(message)
    }
    return {
      connection,
      sent: this.next,
      answered: this.answered,
      refused: this.#refused,
      acknowledgedEarly,
      republished: this.#republished,
    }
  }

  // hot: per message
  #answer(answer: Answer): void {
    const dueMs = this.#dueMs[this.answered % this.size]
    if (dueMs !== this.#latencyDueMs) {
      this.endRead()
      this.#latencyDueMs = dueMs
    }
    this.#latencyCount++
    this.#count(answer)
    this.#advance(answer)
  }

  #advance(answer: Answer): void {
    if (answer === Answer.refused) this.#refused.push(this.answered)
    this.answered++
  }

  #count(answer: Answer): void {
    if (answer === Answer.refused) this.#counters.refused++
    else this.#counters.acknowledged++
  }

  #acknowledgeEarly(distance: number, answer: Answer): void {
    const ahead = (distance + this.#idCycle) % this.#idCycle
    const message = this.answered + ahead
    const slot = message % this.size
    if (message >= this.next || this.#answers[slot] !== Answer.none) {
      this.#counters.strayAcks++
      return
    }
    this.#answers[slot] = answer
    this.#counters.overtakingAcks++
    this.#onLatency(this.#readAtMs - this.#dueMs[slot], 1)
    this.#count(answer)
  }
}
