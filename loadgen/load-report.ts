/** A load run's progress and report as text for people. */
import type { LoadProgress, LoadReport } from './load.ts'
import type { VerificationReport } from './verification.ts'

export function progressLine(progress: LoadProgress): string {
  const { counters, latency } = progress
  const parts = [
    `${progress.seconds.toFixed(0).padStart(4)} s`,
    `${count(progress.messagesPerS)} messages/s`,
    `${count(progress.readingsPerS)} readings/s`,
    `${count(progress.acknowledgedPerS)} acks/s`,
    `p50 ${ms(latency.p50Ms)} p99 ${ms(latency.p99Ms)} p99.9 ${ms(latency.p999Ms)} ms`,
    `${count(counters.inFlight)} in flight`,
  ]
  if (counters.connectionsLost > 0) parts.push(`${counters.connectionsLost} connections lost`)
  return parts.join(' · ')
}

export function reportText(report: LoadReport): string {
  const { counters, latency } = report
  const lines = [
    [
      'devices',
      `${count(report.devices)} on ${count(report.connections)} connections, named ${report.prefix}*`,
    ],
    ['sent', `${count(counters.sent)} messages, ${count(counters.sent * report.metrics)} readings`],
    ['acknowledged', count(counters.acknowledged)],
    ['time', `${report.seconds.toFixed(2)} s (and ${report.connectSeconds.toFixed(2)} s to connect)`],
    ['rate', `${count(report.messagesPerS)} messages/s, ${count(report.readingsPerS)} readings/s`],
    ['generator', `${report.cpuUsPerMessage.toFixed(2)} us CPU per message`],
  ]
  if (latency.count > 0) {
    const percentiles = `p50 ${ms(latency.p50Ms)}, p90 ${ms(latency.p90Ms)}, p99 ${ms(latency.p99Ms)}`
    lines.push(['latency', `${percentiles}, p99.9 ${ms(latency.p999Ms)}, most ${ms(latency.maxMs)} ms`])
  }
  const faults: [string, number][] = [
    ['refused', counters.refused],
    ['sent again', counters.resent],
    ['in flight at the end', counters.inFlight],
    ['connections lost', counters.connectionsLost],
    ['connections given up', counters.connectionsGivenUp],
    ['stray acks', counters.strayAcks],
    ['acks out of order', counters.overtakingAcks],
  ]
  for (const [name, number] of faults) if (number > 0) lines.push([name, count(number)])
  for (const [reason, number] of Object.entries(report.reasons))
    lines.push(['', `${count(number)} x ${reason}`])
  return table(lines)
}

export function verificationText(report: VerificationReport): string {
  const { rows } = report
  const lines = [
    [
      'readings',
      `${count(rows.sent)} sent, ${count(rows.acknowledged)} acknowledged, ${count(rows.stored)} rows stored`,
    ],
    ['missing', count(rows.missing)],
    ['duplicated', count(rows.duplicated)],
    ['wrong', count(rows.wrong)],
    ['foreign', count(rows.foreign)],
  ]
  if (rows.storedUnacknowledged > 0) lines.push(['stored, not acked', count(rows.storedUnacknowledged)])
  if (rows.republishedCopies > 0)
    lines.push(['published anew', `${count(rows.republishedCopies)} rows stored again`])
  for (const { window, compared, equal, open, wrong } of report.windows) {
    const same = `${count(equal)} of ${count(compared)} equal`
    const parts = `${same}, ${count(open)} still open, ${count(wrong)} wrong`
    lines.push([`rollups ${window}`, parts])
  }
  if (report.windows.length === 0) lines.push(['rollups', 'not compared (--rollups-wait 0)'])
  for (const example of rows.examples) lines.push(['', example])
  for (const { examples } of report.windows) for (const example of examples) lines.push(['', example])
  lines.push(['verified', `${verdict(report)}, in ${report.seconds.toFixed(1)} s`])
  return table(lines)
}

function verdict({ isOk, windows }: VerificationReport): string {
  if (isOk) return windows.length > 0 ? 'yes' : 'rows yes, rollups not'
  const openCount = windows.reduce((sum, { open }) => sum + open, 0)
  return openCount > 0
    ? `NO (${count(openCount)} windows are still open: --rollups-wait waits for them)`
    : 'NO'
}

function table(lines: string[][]): string {
  return lines.map(([name, text]) => `${name.padEnd(22)}${text}\n`).join('')
}

function count(number: number): string {
  return Math.round(number).toLocaleString('en-US')
}

function ms(latencyMs: number): string {
  return latencyMs < 10 ? latencyMs.toFixed(2) : latencyMs.toFixed(0)
}
