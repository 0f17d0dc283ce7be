/** How devices are shown. No digest of a secret is. */
import { printable, printableJson } from '../audit/printable.ts'
import type { Credential, Device } from '../registry/device.ts'
import { textWidth } from '../store/text-width.ts'

type Out = NodeJS.WritableStream

/** So many lines share the widths of their columns. */
const PAGE_LINES = 1000

export function listDevices(devices: Iterable<Device>, isJson: boolean, out: Out): void {
  if (isJson) {
    for (const device of devices) out.write(`${printableJson(shown(device))}\n`)
    return
  }
  let page: string[][] = [['name', 'role', 'groups', 'state', 'version', 'last seen']]
  let count = 0
  for (const { name, role, groups, isEnabled, version, lastSeenMs } of devices) {
    count++
    page.push([
      name,
      role,
      groups.join(' '),
      isEnabled ? 'enabled' : 'disabled',
      version ?? '',
      timeText(lastSeenMs),
    ])
    if (page.length < PAGE_LINES) continue
    out.write(table(page))
    page = []
  }
  if (count === 0) out.write('no devices\n')
  else out.write(table(page))
}

export function showDevice(
  device: Device,
  credentials: readonly Credential[],
  isJson: boolean,
  out: Out,
): void {
  const kept = credentials.map(({ id, kind, digest, createdMs }) => ({
    id,
    kind,
    created: new Date(createdMs).toISOString(),
    ...(kind === 'certificate' ? { sha256: digest } : {}),
  }))
  if (isJson) {
    out.write(`${printableJson({ ...shown(device), credentials: kept })}\n`)
    return
  }
  const { name, role, groups, isEnabled, version, metadata, createdMs, firstSeenMs, lastSeenMs } = device
  const lines: [string, string][] = [
    ['name', name],
    ['role', role],
    ['groups', groups.join(' ') || '-'],
    ['state', isEnabled ? 'enabled' : 'disabled'],
    ['version', version ?? '-'],
    ['registered', timeText(createdMs)],
    ['first seen', timeText(firstSeenMs)],
    ['last seen', timeText(lastSeenMs)],
    ...Object.entries(metadata).map(([key, value]): [string, string] => [`meta ${key}`, value]),
    ...kept.map(({ kind, created, sha256 = '' }): [string, string] => [
      kind,
      `since ${created} ${sha256}`.trimEnd(),
    ]),
  ]
  out.write(table(lines))
}

function shown({ createdMs, firstSeenMs, lastSeenMs, ...device }: Device): Record<string, unknown> {
  const [created, firstSeen, lastSeen] = [createdMs, firstSeenMs, lastSeenMs].map((ms) =>
    ms === null ? null : new Date(ms).toISOString(),
  )
  return { ...device, created, firstSeen, lastSeen }
}

function timeText(ms: number | null): string {
  return ms === null ? 'never' : new Date(ms).toISOString().replace('T', ' ').slice(0, 19)
}

function table(rows: readonly string[][]): string {
  const cells = rows.map((row) => row.map(printable))
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => textWidth(row[column]))))
  return cells
    .map((row) =>
      row
        .map((cell, column) => cell + ' '.repeat(widths[column] - textWidth(cell)))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('')
}
