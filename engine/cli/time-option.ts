/** `--since T`: a time, or how long ago. */
import { UsageError } from './command.ts'

const UNIT_MS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const ISO = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d)?)?$/

/** Milliseconds since the epoch of `2026-03-01`, `2026-03-01T12:00`, or `90s`, `15m`, `2h`, `7d` before `nowMs`; UTC. */
export function timeOption(name: string, text: string, nowMs: number): number {
  const ago = /^(\d{1,6})([smhd])$/.exec(text)
  if (ago !== null) return nowMs - Number(ago[1]) * UNIT_MS[ago[2]]
  const iso = ISO.test(text) ? text.replace(' ', 'T') : ''
  const ms = Date.parse(/T.*(Z|[+-]\d\d:\d\d)$/.test(iso) || !iso.includes('T') ? iso : `${iso}Z`)
  if (Number.isNaN(ms))
    throw new UsageError(
      `--${name} takes a time such as 2026-03-01T12:00 (UTC), or 15m, 2h, 7d ago, not ${JSON.stringify(text)}`,
    )
  return ms
}
