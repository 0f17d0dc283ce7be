/**
 * The faults that the harness knows (one a round, or at the proxy before ClickHouse), and what it draws from its seed for each round. Pure.
 */
import { Prng } from '../../base/prng.ts'
import type { Redelivery } from './device-link.ts'
import type { Reach } from './engine-under-test.ts'

export const ROUND_FAULTS = [
  'kill-engine',
  'kill-store',
  'kill-both',
  'freeze-engine',
  'freeze-store',
  'cut-devices',
  'move-devices',
  'restart',
] as const
export const PROXY_FAULTS = ['cut-reply', 'delay', 'reset', 'refuse', 'answer-503'] as const
export type RoundFault = (typeof ROUND_FAULTS)[number]
export type ProxyFault = (typeof PROXY_FAULTS)[number]
export type Fault = RoundFault | ProxyFault

export interface Round {
  number: number
  fault: RoundFault
  /** From the round's start to the fault. */
  delayMs: number
  /** New messages a second of all devices together, and how many of a device go into one write. */
  rate: number
  perWrite: number
  redelivery: Redelivery
  /** Just before the fault each device sends so many at once; the fault follows before all of them are answered. */
  burst: number
  burstLeadMs: number
  /** What dies with or without the engine where a supervisor watches it. */
  reach: Reach
  /** The engine is killed once more, so long after it was started again; null: it is left in peace. */
  againAfterMs: number | null
  /** How long what is frozen stays so. */
  frozenMs: number
  /** How long a dead engine stays dead when nobody but the harness starts it. */
  downMs: number
}

const DELAY_MS_MIN = 60
const DELAY_MS_MAX = 1200
const RATES = [300, 1000, 4000, 12_000] as const
const BURST_PART = 0.7
const BURST_MAX = 200
const BURST_LEAD_MS_MAX = 8
const AGAIN_PART = 0.2
const AGAIN_MS_MAX = 900
const FROZEN_MS_MAX = 2500
const DOWN_MS_MAX = 300

/** Everything a round draws, from the run's seed and its own number alone, so that rounds can be told apart. */
export function planRound(
  seed: number,
  number: number,
  faults: readonly RoundFault[],
  redeliveries: readonly Redelivery[],
): Round {
  const prng = new Prng(seed * 1_000_003 + number)
  const pick = <T>(choices: readonly T[]): T => choices[prng.between(0, choices.length - 1)]
  return {
    number,
    fault: pick(faults),
    delayMs: prng.between(DELAY_MS_MIN, DELAY_MS_MAX),
    rate: pick(RATES),
    perWrite: pick([1, 5, 50]),
    redelivery: pick(redeliveries),
    burst: prng.unit() < BURST_PART ? prng.between(1, BURST_MAX) : 0,
    burstLeadMs: prng.between(0, BURST_LEAD_MS_MAX),
    reach: pick(['engine', 'engine', 'tree', 'supervisor']),
    againAfterMs: prng.unit() < AGAIN_PART ? prng.between(0, AGAIN_MS_MAX) : null,
    frozenMs: prng.between(100, FROZEN_MS_MAX),
    downMs: prng.unit() < 0.5 ? 0 : prng.between(0, DOWN_MS_MAX),
  }
}

export function isRoundFault(fault: string): fault is RoundFault {
  return (ROUND_FAULTS as readonly string[]).includes(fault)
}

export function isProxyFault(fault: string): fault is ProxyFault {
  return (PROXY_FAULTS as readonly string[]).includes(fault)
}
