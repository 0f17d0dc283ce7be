/**
 * For tests: seeded fleets whose readings exercise windows (bursts, silences, equal times, wrong clocks, texts, what is no number,
 * counters that begin anew), in several orders of delivery, and a publisher that goes on after the engine was killed.
 */
import { encode } from '@msgpack/msgpack'
import type { Prng } from '../base/prng.ts'
import { type Address, parseAddress } from './address.ts'
import { MqttPublisher, PublishError } from './audit/mqtt-publisher.ts'

export interface Message {
  device: string
  ts: number
  payload: Uint8Array
}

/** How long a message is under way, ms; by it the messages of a device are ordered. */
export type Delay = (prng: Prng) => number

const DELAYS: Readonly<Record<string, Delay>> = {
  sorted: () => 0,
  shuffled: (prng) => prng.between(0, 4000),
  tail: (prng) => -2000 * Math.log(1 - prng.unit()) ** 3,
  backwards: () => Number.NaN,
  buffered: (prng) => (prng.unit() < 0.2 ? 600_000 : 0),
}

/** Devices of each order of delivery get the same readings; the order is a part of the device's name. */
export function makeFleet(prng: Prng, devices: number, messages: number, nowMs: number): Message[] {
  const lists: Message[][] = []
  for (let number = 0; number < devices; number++) {
    const objects = makeObjects(prng, messages, nowMs)
    for (const [name, delay] of Object.entries(DELAYS)) {
      const list = objects.map((object) => ({
        ...message(prng, `${name}-${number}`, object),
        at: object.ts + delay(prng),
      }))
      list.sort((a, b) => (Number.isNaN(a.at) ? b.ts - a.ts : a.at - b.at))
      lists.push(list)
    }
  }
  return interleave(prng, lists)
}

interface TimedObject {
  ts: number
  values: Record<string, unknown>
}

/** Ascending times, but for clocks that were wrong for a moment. */
function makeObjects(prng: Prng, messages: number, nowMs: number): TimedObject[] {
  const objects: TimedObject[] = []
  let ts = nowMs - 900_000 + prng.between(0, 5000)
  let counter = 0
  for (let number = 0; number < messages; number++) {
    const step = prng.between(0, 29)
    if (step === 0) ts += prng.between(20_000, 60_000)
    else if (step < 4) ts += prng.between(4900, 5100)
    else if (step > 4) ts += prng.between(1, 1500)
    counter = prng.between(0, 39) === 0 ? prng.between(0, 3) : counter + prng.between(0, 50) / 4
    const clock = prng.between(0, 99)
    const at = clock === 0 ? 900_000_000 + prng.between(0, 100_000) : clock === 1 ? ts - 7 * 86_400_000 : ts
    objects.push({ ts: at, values: makeValues(prng, counter) })
    if (prng.between(0, 19) === 0) objects.push(objects[prng.between(0, objects.length - 1)])
  }
  return objects
}

function makeValues(prng: Prng, counter: number): Record<string, unknown> {
  const pick = <T>(values: readonly T[]): T => values[prng.between(0, values.length - 1)]
  const values: Record<string, unknown> = {}
  if (prng.between(0, 3) > 0)
    values.level = pick([0, -0, prng.normal() * 100, prng.normal() * 1e-3, prng.between(-5, 5), 1e6])
  if (prng.between(0, 3) > 0) values.total = counter
  if (prng.between(0, 3) === 0) values.door = pick(['open', 'shut', 'ajar — ünklar', true, false, 3])
  if (prng.between(0, 9) === 0) values.level = pick([Number.NaN, Number.POSITIVE_INFINITY, 'broken'])
  return values
}

/** NaN and infinities go as MessagePack, others as either. */
function message(prng: Prng, device: string, { ts, values }: TimedObject): Message {
  const object = { ts, ...values }
  const isJson = prng.between(0, 1) === 0 && Object.values(values).every((value) => !isOdd(value))
  return { device, ts, payload: isJson ? Buffer.from(JSON.stringify(object)) : encode(object) }
}

/** JSON has no such number; -0 is one that JSON.stringify forgets. */
function isOdd(value: unknown): boolean {
  return typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0))
}

/** The order within a list stays. */
function interleave<T>(prng: Prng, lists: readonly T[][]): T[] {
  const order = lists.flatMap((list, index) => list.map(() => index))
  for (let i = order.length - 1; i > 0; i--) {
    const j = prng.between(0, i)
    ;[order[i], order[j]] = [order[j], order[i]]
  }
  const next = lists.map(() => 0)
  return order.map((index) => lists[index][next[index]++])
}

/** Publishes in order; what got no answer is given back, to be published again. */
export async function publishAll(
  mqtt: string,
  topicOf: (device: string) => string,
  messages: readonly Message[],
  onAnswered: (count: number) => void = () => {},
): Promise<Message[]> {
  const unanswered: Message[] = []
  let answered = 0
  const publisher = await MqttPublisher.connect({
    address: addressOf(mqtt),
    windowMax: 50,
    timeoutMs: 120_000,
  })
  await Promise.all(
    messages.map(async (message) => {
      try {
        await publisher.publish(topicOf(message.device), message.payload)
        onAnswered(++answered)
      } catch (error) {
        if (!(error instanceof PublishError)) throw error
        unanswered.push(message)
      }
    }),
  )
  await publisher.close()
  return unanswered
}

/** The same into a `kill` once half is acknowledged. */
export async function publishIntoKill(
  mqtt: string,
  topicOf: (device: string) => string,
  messages: readonly Message[],
  kill: () => Promise<void>,
): Promise<Message[]> {
  let killing: Promise<void> | null = null
  const unanswered = await publishAll(mqtt, topicOf, messages, (count) => {
    if (count >= messages.length / 2) killing ??= kill()
  })
  await killing
  return unanswered
}

function addressOf(text: string): Address {
  const address = parseAddress(text)
  if (address === null) throw new Error(`no address: ${text}`)
  return address
}
