/** A crash run's progress and report as text for people. */
import type { CrashProgress, CrashReport } from './crash-contract.ts'
import type { Round } from './faults.ts'

export function progressLine(progress: CrashProgress, rounds: number, proxyFaults: number): string {
  const parts = [
    progress.phase === 'rounds' ? `round ${progress.round} of ${rounds}` : progress.phase,
    `${grouped(progress.acknowledged)} acknowledged`,
    `${grouped(progress.inFlight)} in flight`,
  ]
  if (proxyFaults > 0)
    parts.push(`${grouped(progress.proxyFaults)} of ${grouped(proxyFaults)} faults at the proxy`)
  return parts.join(' · ')
}

export function roundLine(round: Round, rounds: number, recoveryMs: number, progress: CrashProgress): string {
  const { number, fault, delayMs, rate, redelivery, burst, burstLeadMs, againAfterMs, reach } = round
  const isEngine = fault === 'kill-engine' || fault === 'kill-both'
  const again = againAfterMs !== null && isEngine ? ` twice (${againAfterMs} ms)` : ''
  const lead = burst > 0 ? ` and ${burstLeadMs} ms after ${burst} each at once` : ''
  const parts = [
    `round ${number} of ${rounds}`,
    `${fault}${again}${isEngine ? ` (${reach})` : ''} after ${delayMs} ms at ${rate}/s${lead}`,
    `again as ${redelivery}`,
    `back in ${(recoveryMs / 1000).toFixed(2)} s`,
    `${grouped(progress.acknowledged)} acknowledged`,
  ]
  if (progress.proxyFaults > 0) parts.push(`${grouped(progress.proxyFaults)} faults at the proxy`)
  return parts.join(' · ')
}

export function reportText(report: CrashReport): string {
  const { devices, engine, proxy, checks, recoveryMs } = report
  const lines: [string, string][] = [
    ['seed', String(report.seed)],
    ['faults', counted(report.faultCounts) || 'none'],
    ['time', `${report.seconds.toFixed(0)} s, ${report.rounds} rounds`],
    [
      'starts',
      `${engine.starts} by the harness, ${engine.supervisedStarts} by a supervisor; devices served again after ` +
        `median ${(recoveryMs.median / 1000).toFixed(2)} s, most ${(recoveryMs.max / 1000).toFixed(2)} s`,
    ],
    [
      'devices',
      `${grouped(devices.sent)} messages, ${grouped(devices.acknowledged)} acknowledged, ` +
        `${grouped(devices.resent)} sent again over ${grouped(devices.connectionsLost)} lost connections`,
    ],
    ['engine said', counted(engine.faults) || 'nothing'],
  ]
  for (const words of engine.failedStarts.slice(0, 3)) lines.push(['a start failed', words])
  if (proxy !== null) {
    lines.push([
      'proxy',
      `${grouped(proxy.inserts)} inserts, ${grouped(proxy.answeredAgain)} answered after a lost reply, ` +
        `${proxy.unanswered} never, ${proxy.refused} refused by ClickHouse`,
    ])
  }
  lines.push(...checkLines(report))
  for (const failure of report.failures) lines.push(['FAILED', failure])
  if (report.failedRound > 0) lines.push(['failed in round', String(report.failedRound)])
  if (report.directory !== null) lines.push(['kept', report.directory])
  const isAudited = checks?.audit.exists === true
  lines.push(['verified', report.isOk ? (isAudited ? 'yes' : 'yes, BUT NOT AUDITED') : 'NO'])
  return lines.map(([name, text]) => `${name.padEnd(18)}${text}\n`).join('')
}

function checkLines({ checks }: CrashReport): [string, string][] {
  if (checks === null) return [['checks', 'not reached']]
  const lines: [string, string][] = []
  for (const { group, rows, sequenceCopies, rollups } of checks.groups) {
    lines.push([
      `devices ${group.replace(/^crash-|-$/g, '')}`,
      `${grouped(rows.acknowledged)} readings acknowledged, ${rows.missing} missing; ${grouped(rows.stored)} stored, ` +
        `${rows.duplicated} duplicated, ${rows.wrong} wrong, ${rows.foreign} foreign, ` +
        `${grouped(sequenceCopies)} messages twice that were published anew`,
    ])
    const windows = rollups.map(
      ({ window, compared, wrong }) => `${grouped(compared)} of ${window}, ${wrong} wrong`,
    )
    lines.push(['', `windows: ${windows.join('; ')}`])
  }
  lines.push(['dead letters', String(checks.deadLetters)])
  const { audit } = checks
  lines.push(
    audit.exists
      ? [
          'audit',
          audit.code === 0 ? `balances: ${audit.output.trim().split('\n').at(-1)}` : 'DOES NOT BALANCE',
        ]
      : ['audit', 'NOT CHECKED: this engine has no `millrace audit`'],
  )
  return lines
}

function counted(counts: Record<string, number>): string {
  return Object.entries(counts)
    .map(([name, count]) => `${grouped(count)} ${name}`)
    .join(', ')
}

function grouped(number: number): string {
  return Math.round(number).toLocaleString('en-US')
}
