/**
 * What a connection still has to acknowledge, in the order of its packets ([MQTT-4.6.0-2], [MQTT-4.6.0-3]):
 * PUBACK, PUBREC or PUBCOMP leaves when the durable position of the ring that its record went to has reached
 * it and everything before it has left. One owner: the gateway's thread. Bounded by the receive maximum; the
 * arrays grow by doubling and are made with the first message of QoS 1 or 2.
 */
import { assert } from '../../base/assert.ts'
import { ACK_SIZE_BYTES_MAX, writeAck, writePuback } from '../../codecs/mqtt/ack.ts'
import { PacketType } from '../../codecs/mqtt/packet.ts'
import { isReached } from '../ring/ring.ts'
import { unrolled } from './unrolled.ts'

/** In place of a lane: nothing was written to a ring, the turn alone is waited for. */
export const NO_LANE = 254

const CAPACITY_MIN = 16

/**
 * An answer in one number: packet identifier, first byte of the packet, reason code (0 for none), from the low
 * bits up.
 */
export function answerOf(type: AnswerType, packetId: number, reasonCode: number): number {
  return ((reasonCode << 24) | (type << 20) | packetId) >>> 0
}

type AnswerType = typeof PacketType.PUBACK | typeof PacketType.PUBREC | typeof PacketType.PUBCOMP

/** Nothing leaves: only what comes after waits for the ring as well. */
export const NO_ANSWER = 0

const PUBACK = PacketType.PUBACK << 4
const PUBREC = PacketType.PUBREC << 4
const PUBCOMP = PacketType.PUBCOMP << 4

/** Told how long a run of messages with the same arrival has waited for its PUBACKs or PUBRECs. */
export interface LatencySink {
  record(arrivalUs: number, count: number): void
}

export class AckQueue {
  count = 0
  /** Those that give no message of the receive maximum back: see `returningCount`. */
  #otherCount = 0
  #head = 0
  #ends = new Int32Array(CAPACITY_MIN)
  #answers = new Uint32Array(CAPACITY_MIN)
  #lanes = new Uint8Array(CAPACITY_MIN)
  #arrivalsUs = new Uint32Array(CAPACITY_MIN)

  /** Those that give one back: PUBACKs, and PUBCOMPs of known identifiers; not what says no. */
  get returningCount(): number {
    return this.count - this.#otherCount
  }

  /** `arrivalUs` wraps at 2^32. */
  // hot: per message
  push(end: number, answer: number, lane: number, arrivalUs: number): void {
    if (this.count === this.#ends.length) this.#grow()
    const slot = (this.#head + this.count) & (this.#ends.length - 1)
    this.#ends[slot] = end
    this.#answers[slot] = answer
    this.#lanes[slot] = lane
    this.#arrivalsUs[slot] = arrivalUs
    this.count++
    if (answer >>> 16 !== PUBACK && answer >>> 16 !== PUBCOMP) this.#otherCount++
  }

  /** Whether the next answer can leave; `durable` are the rings' positions, by lane. */
  // hot: per batch
  isReady(durable: Int32Array): boolean {
    if (this.count === 0) return false
    const lane = this.#lanes[this.#head]
    return lane === NO_LANE || isReached(durable[lane], this.#ends[this.#head])
  }

  /**
   * Takes the answers that can leave, as many as `out` has room for, and writes them. Returns the bytes
   * written.
   */
  // hot: per message
  take(durable: Int32Array, out: Uint8Array, latency: LatencySink): number {
    const ends = this.#ends
    const lanes = this.#lanes
    const answers = this.#answers
    const arrivalsUs = this.#arrivalsUs
    const mask = ends.length - 1
    const countMax = Math.min(this.count, Math.floor(out.length / ACK_SIZE_BYTES_MAX))
    let slot = this.#head
    let taken = 0
    let offset = 0
    let runArrivalUs = arrivalsUs[slot]
    let runCount = 0
    while (taken < countMax) {
      const lane = lanes[slot]
      if (lane !== NO_LANE && ((durable[lane] - ends[slot]) | 0) < 0) break
      const answer = answers[slot]
      const arrivalUs = arrivalsUs[slot]
      taken++
      slot = (slot + 1) & mask
      if (answer >>> 16 === PUBACK) {
        offset = writePuback(out, offset, answer & 0xffff)
      } else {
        offset = writeAnswer(out, offset, answer)
        if (answer >>> 16 !== PUBCOMP) this.#otherCount--
        if (answer >>> 16 !== PUBREC) continue
      }
      if (arrivalUs !== runArrivalUs) {
        if (runCount > 0) latency.record(runArrivalUs, runCount)
        runArrivalUs = arrivalUs
        runCount = 0
      }
      runCount++
    }
    if (runCount > 0) latency.record(runArrivalUs, runCount)
    this.#head = slot
    this.count -= taken
    return offset
  }

  #grow(): void {
    const capacity = this.#ends.length * 2
    assert(capacity <= 1 << 17, 'acknowledgements are bounded by the receive maximum')
    this.#ends = unrolled(this.#ends, new Int32Array(capacity), this.#head)
    this.#answers = unrolled(this.#answers, new Uint32Array(capacity), this.#head)
    this.#lanes = unrolled(this.#lanes, new Uint8Array(capacity), this.#head)
    this.#arrivalsUs = unrolled(this.#arrivalsUs, new Uint32Array(capacity), this.#head)
    this.#head = 0
  }
}

// hot: per message of QoS 2
function writeAnswer(out: Uint8Array, offset: number, answer: number): number {
  if (answer === NO_ANSWER) return offset
  // Under 3.1.1 there is no reason code in it.
  return writeAck(out, offset, ((answer >>> 20) & 0xf) as AnswerType, answer & 0xffff, answer >>> 24, 5)
}
