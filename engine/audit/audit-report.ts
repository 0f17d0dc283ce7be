/** An audit's report as people read it: tables of plain text, the differences, and one last line that says it all. */
import type { AuditReport } from './audit.ts'
import { printable } from './printable.ts'

/** Cells; numbers are set right. */
type Row = (string | number)[]

export function formatAudit(report: AuditReport): string {
  const parts = [ledgerTable(report), rowsTable(report), windowsTable(report)]
  if (report.sampledWindows.length > 0) parts.push(sampledTable(report))
  if (report.sampledPoints.length > 0) parts.push(pointsTable(report))
  parts.push(journalLine(report))
  for (const note of report.notes) parts.push(`note: ${printable(note)}\n`)
  if (report.differenceCount > 0) parts.push(differenceLines(report))
  return `${parts.join('\n')}\nbalanced: ${report.isBalanced ? 'yes' : 'NO'}\n`
}

function ledgerTable({ ledger }: AuditReport): string {
  const head = [
    'ledger',
    'accepted',
    'stored',
    'filtered',
    'dead letters',
    'duplicate',
    'amended',
    'messages',
  ]
  return layOut([
    [...head, 'difference'],
    ...ledger.map((sums) => [
      sums.stream,
      sums.accepted,
      sums.stored,
      sums.filtered,
      sums.deadLettered,
      sums.duplicate,
      sums.amended,
      sums.messages,
      sums.difference,
    ]),
  ])
}

function rowsTable({ tables }: AuditReport): string {
  return layOut([
    ['rows', '', 'in the ledger', 'in the table', 'in flight'],
    ...tables.map(({ table, stream, ledger, rows, inFlight }) => [table, stream, ledger, rows, inFlight]),
  ])
}

function windowsTable({ windows }: AuditReport): string {
  return layOut([
    ['windows', '', 'readings', 'counted', 'in open windows'],
    ...windows.map(({ window, stream, samples, rollups, open }) => [window, stream, samples, rollups, open]),
  ])
}

function sampledTable({ sampledWindows }: AuditReport): string {
  return layOut([
    ['windows that do not merge', '', 'series', 'windows', 'as in samples'],
    ...sampledWindows.map(({ window, stream, series, compared, equal }) => [
      window,
      stream,
      series,
      compared,
      equal,
    ]),
  ])
}

function pointsTable({ sampledPoints }: AuditReport): string {
  return layOut([
    ['points', '', 'series', 'windows or readings', 'as in samples'],
    ...sampledPoints.map(({ method, stream, series, compared, equal }) => [
      method,
      stream,
      series,
      compared,
      equal,
    ]),
  ])
}

function journalLine({ journals, pendingCount }: AuditReport): string {
  const total = (figure: 'segmentCount' | 'sizeBytes' | 'messageCount') =>
    journals.reduce((sum, journal) => sum + journal[figure], 0)
  return [
    `journal: ${counted(journals.length, 'shard')}, ${counted(total('segmentCount'), 'segment')}`,
    `${(total('sizeBytes') / 1e6).toFixed(1)} MB, ${counted(total('messageCount'), 'message')}`,
    `pending ${grouped(pendingCount)}\n`,
  ].join(', ')
}

function differenceLines({ differences, differenceCount }: AuditReport): string {
  const lines = differences.map(({ text }) => `difference: ${printable(text)}\n`)
  const rest = differenceCount - differences.length
  if (rest > 0) lines.push(`difference: and ${grouped(rest)} more\n`)
  return lines.join('')
}

function layOut(rows: readonly Row[]): string {
  const texts = rows.map((row) =>
    row.map((cell) => (typeof cell === 'number' ? grouped(cell) : printable(cell))),
  )
  const isNumeric = rows[0].map((_, column) => rows.slice(1).every((row) => typeof row[column] === 'number'))
  const widths = rows[0].map((_, column) => Math.max(...texts.map((row) => row[column].length)))
  return texts
    .map((row) => {
      const cells = row.map((text, column) =>
        isNumeric[column] ? text.padStart(widths[column]) : text.padEnd(widths[column]),
      )
      return `${cells.join('  ').trimEnd()}\n`
    })
    .join('')
}

function counted(count: number, noun: string): string {
  return `${grouped(count)} ${noun}${count === 1 ? '' : 's'}`
}

function grouped(count: number): string {
  return count.toLocaleString('en-US')
}
