/**
 * Sends dead letters again to the topics they came on, oldest first, and then looks whether they became dead letters
 * again. It deletes nothing. Owned by the command's main thread; at most a page of letters is in memory.
 */
import { isTopicNameValid } from '../../codecs/mqtt/topic.ts'
import type { StoreTarget } from '../store/target.ts'
import {
  countAgain,
  countLetters,
  type DeadLetter,
  type LetterFilter,
  type LetterPlace,
  nextLetters,
} from './dead-letters.ts'
import { type MqttPublisher, PublishError } from './mqtt-publisher.ts'

export type Outcome =
  | { kind: 'accepted' }
  /** By the peer, with a PUBACK's reason code. */
  | { kind: 'refused'; reasonCode: number }
  /** Not sent: the topic is none, or the packet is larger than the peer takes. */
  | { kind: 'skipped'; reason: string }
  /** Sent, and the connection ended before the answer; it may have been accepted. */
  | { kind: 'unanswered' }
  | { kind: 'dry run' }

export interface ReplayReport {
  selected: number
  accepted: number
  refused: number
  skipped: number
  unanswered: number
  /** Of the accepted, by the reason that they became dead letters again; as far as could be seen in time. */
  again: Record<string, number>
  /** What ended the replay before its end. */
  fault: string | null
}

export interface ReplaySettings {
  target: StoreTarget
  /** Null: only says what would be sent. */
  publisher: MqttPublisher | null
  filter: LetterFilter
  limit: number
  /** How long to look for letters that came back, ms. */
  lookMs: number
  onOutcome(letter: DeadLetter, outcome: Outcome): void
}

const LOOK_PAUSE_MS = 500

/** Throws StoreError. */
export async function replayLetters(settings: ReplaySettings): Promise<ReplayReport> {
  const { target, filter, limit } = settings
  const { count, newestMs } = await countLetters(target, filter)
  const replay = new Replay(settings, Math.min(count, limit))
  let place: LetterPlace | null = null
  while (replay.sentCount < limit && replay.report.fault === null) {
    // Only letters from before the replay: what comes back must not be sent over and over.
    const rest: number = Math.min(limit - replay.sentCount, 0xffff_ffff)
    const letters = await nextLetters(target, filter, place, newestMs, rest)
    if (letters.length === 0) break
    place = letters[letters.length - 1]
    await replay.send(letters)
  }
  if (place !== null && replay.report.accepted > 0) await replay.lookAgain(place, newestMs)
  return replay.report
}

class Replay {
  readonly report: ReplayReport
  sentCount = 0
  #settings: ReplaySettings

  constructor(settings: ReplaySettings, selected: number) {
    this.#settings = settings
    this.report = { selected, accepted: 0, refused: 0, skipped: 0, unanswered: 0, again: {}, fault: null }
  }

  async send(letters: readonly DeadLetter[]): Promise<void> {
    this.sentCount += letters.length
    const outcomes = letters.map((letter) => this.#sendOne(letter))
    for (const [index, outcome] of outcomes.entries()) {
      const letter = letters[index]
      this.#count(letter, await outcome)
    }
  }

  /** Until all are found, or the time is over. */
  async lookAgain(last: LetterPlace, sinceMs: number): Promise<void> {
    const { target, filter, lookMs } = this.#settings
    const endMs = performance.now() + lookMs
    for (;;) {
      const again = await countAgain(target, filter, last, sinceMs)
      this.report.again = Object.fromEntries(again)
      const found = [...again.values()].reduce((sum, count) => sum + count, 0)
      if (found >= this.report.accepted || performance.now() + LOOK_PAUSE_MS > endMs) return
      await new Promise((resolve) => setTimeout(resolve, LOOK_PAUSE_MS))
    }
  }

  async #sendOne({ topic, payload }: DeadLetter): Promise<Outcome> {
    const { publisher } = this.#settings
    const bytes = Buffer.from(topic)
    if (!isTopicNameValid(bytes, 0, bytes.length)) return { kind: 'skipped', reason: 'its topic is none' }
    if (publisher === null) return { kind: 'dry run' }
    if (!publisher.isWithinPeersBound(topic, payload))
      return { kind: 'skipped', reason: 'larger than the peer takes' }
    try {
      const reasonCode = await publisher.publish(topic, payload)
      return reasonCode < 0x80 ? { kind: 'accepted' } : { kind: 'refused', reasonCode }
    } catch (error) {
      if (!(error instanceof PublishError)) throw error
      this.report.fault = error.message
      return { kind: 'unanswered' }
    }
  }

  #count(letter: DeadLetter, outcome: Outcome): void {
    const { report } = this
    if (outcome.kind === 'accepted') report.accepted++
    else if (outcome.kind === 'refused') report.refused++
    else if (outcome.kind === 'skipped') report.skipped++
    else if (outcome.kind === 'unanswered') report.unanswered++
    this.#settings.onOutcome(letter, outcome)
  }
}
