/**
 * Compares the tables of a run that has ended with what its devices sent and were told: what was acknowledged is there,
 * nothing is there twice, every window counts each reading once, and the books balance.
 */
import { type Books, type Message, READINGS_MAX, type Reading } from './books.ts'
import type { NativeColumns } from './native-reader.ts'
import type { SimStore } from './sim-store.ts'
import { SimulationError } from './simulation-error.ts'
import { AHEAD_GUARD_MS, WIDTHS } from './world.ts'

type Row = Record<string, string | number | null>

/** What a window of a series has come to. */
interface Pane {
  count: number
  sum: number
  min: number
  max: number
  first: string
  last: string
}

/** Throws SimulationError for the first thing that is wrong. Returns how many rows of each kind there are. */
export function judge(books: Books, store: SimStore): Record<string, number> {
  const tables = readTables(store)
  const { letters, refused } = sortLetters(tables.dead_letters)
  const refusedSamples = refused.filter(({ table }) => table === 'samples')
  const samples = [...tables.samples, ...refusedSamples]
  judgeMessages(books, samples, letters)
  const rollups = [...tables.rollups, ...refused.filter(({ table }) => table === 'rollups')]
  judgeWindows(samples, rollups)
  judgeLedger(tables.ledger, tables.samples, [...letters, ...refusedSamples])
  const duplicates = tables.ledger.reduce((sum, { duplicate }) => sum + Number(duplicate), 0)
  return {
    'reading stored': samples.length,
    'dead letter': letters.length,
    'row refused': refused.length,
    duplicate: duplicates,
  }
}

function readTables(store: SimStore): Record<string, Row[]> {
  const tables: Record<string, Row[]> = { samples: [], rollups: [], dead_letters: [], ledger: [] }
  for (const { table, block } of store.blocks.values())
    tables[table].push(...rowsOf(block.rowCount, block.columns))
  return tables
}

function rowsOf(rowCount: number, columns: NativeColumns): Row[] {
  const names = [...columns.keys()]
  const values = [...columns.values()]
  return Array.from({ length: rowCount }, (_, row) =>
    Object.fromEntries(names.map((name, column) => [name, values[column][row]])),
  )
}

/** Messages that could not be decoded, and single rows that the store refused, as the rows they were. */
function sortLetters(rows: Row[]): { letters: Row[]; refused: Row[] } {
  const isRefused = ({ reason }: Row) => String(reason).startsWith('refused')
  const refused = rows.filter(isRefused).map(({ payload }) => {
    const row: Row = JSON.parse(String(payload))
    const times = ['ts', 'arrival', 'start', 'first', 'last'].filter((name) => name in row)
    for (const name of times) row[name] = Date.parse(String(row[name]))
    if ('first' in row) Object.assign(row, { 'first.value': row.first_value, 'last.value': row.last_value })
    return { ...row, value: row.value ?? Number.NaN }
  })
  return { letters: rows.filter((row) => !isRefused(row)), refused }
}

function judgeMessages(books: Books, samples: Row[], letters: Row[]): void {
  const places = new Map<Message, Set<number>>()
  const note = (message: Message, place: number, row: Row) => {
    const seen = places.get(message) ?? new Set()
    if (seen.has(place)) fail(`message ${message.number} is stored twice`)
    places.set(message, seen.add(place))
    if (Number(row.arrival) < message.sentMs) fail(`message ${message.number} arrived before it was sent`)
    expect(row, { stream: message.stream, device: message.device }, message)
  }
  for (const row of samples) {
    const key = row.text === '' ? Number(row.value) : Number(/^t(\d+)\./.exec(String(row.text))?.[1])
    const message = books.messages[Math.floor(key / READINGS_MAX) - 1]
    const place = key % READINGS_MAX
    const reading = message?.readings[place]
    if (reading === undefined) fail(`a reading that nobody sent: ${row.value} ${row.text}`)
    note(message, place, row)
    const { metric, text, tsMs } = reading
    expect(row, { metric, text, ts: tsMs ?? row.arrival }, message)
    if (isAhead(reading, row)) fail(`message ${message.number} was not quarantined`)
  }
  const broken = new Map(books.messages.map((message) => [latin1(message.payload), message]))
  for (const row of letters) {
    const message = broken.get(String(row.payload))
    if (String(row.reason).startsWith('quarantined')) {
      noteQuarantined(books, row, message, note)
      continue
    }
    if (message === undefined || message.readings.length > 0)
      fail(`a dead letter that nobody sent: ${row.payload}`)
    note(message, 0, row)
    expect(row, { topic: message.topic }, message)
  }
  for (const message of books.messages) {
    const count = places.get(message)?.size ?? 0
    const whole = Math.max(1, message.readings.length)
    if (count > 0 && count < whole) fail(`message ${message.number} is stored in part`)
    if (message.isAcknowledged && count === 0) fail(`message ${message.number} was acknowledged and is lost`)
  }
}

/** A letter is a whole message whose readings are all ahead, or one reading of those that are. */
function noteQuarantined(
  books: Books,
  row: Row,
  whole: Message | undefined,
  note: (message: Message, place: number, row: Row) => void,
): void {
  const { ts, ...metrics }: Row = whole === undefined ? JSON.parse(String(row.payload)) : {}
  const [value] = Object.values(metrics)
  const key = Number(/^t(\d+)\./.exec(String(value))?.[1] ?? value)
  const message = whole ?? books.messages[Math.floor(key / READINGS_MAX) - 1]
  if (message === undefined) fail(`a quarantined reading that nobody sent: ${row.payload}`)
  const places = whole === undefined ? [key % READINGS_MAX] : [...message.readings.keys()]
  if (places.length === 0) fail(`message ${message.number} has no reading to be quarantined`)
  for (const place of places) {
    const reading = message.readings[place]
    if (reading === undefined || !isAhead(reading, row)) fail(`message ${message.number} was quarantined`)
    if (whole === undefined) expect({ ts }, { ts: reading.tsMs }, message)
    note(message, place, row)
  }
  const withoutPlant = message.topic.replace('north', '-') // of a WebSocket, which names only the device
  if (row.topic !== withoutPlant) expect(row, { topic: message.topic }, message)
}

function isAhead({ tsMs }: Reading, { arrival }: Row): boolean {
  return tsMs !== null && tsMs > Number(arrival) + AHEAD_GUARD_MS
}

function judgeWindows(samples: Row[], rollups: Row[]): void {
  const expected = new Map<string, Pane>()
  for (const { stream, device, metric, ts, value } of samples) {
    if (!Number.isFinite(value)) continue
    for (const { name, ms } of WIDTHS) {
      const start = Math.floor(Number(ts) / ms) * ms
      const at = reading(Number(ts), Number(value))
      const pane = {
        count: 1,
        sum: Number(value),
        min: Number(value),
        max: Number(value),
        first: at,
        last: at,
      }
      merge(expected, `${stream} ${device} ${metric} ${name} ${start}`, pane)
    }
  }
  const found = new Map<string, Pane>()
  for (const row of rollups) {
    const { stream, device, metric, window, start } = row
    const [count, sum, min, max] = [row.count, row.sum, row.min, row.max].map(Number)
    const first = reading(Number(row.first), Number(row['first.value']))
    const last = reading(Number(row.last), Number(row['last.value']))
    merge(found, `${stream} ${device} ${metric} ${window} ${start}`, { count, sum, min, max, first, last })
  }
  for (const key of new Set([...expected.keys(), ...found.keys()])) {
    const [one, other] = [expected.get(key), found.get(key)].map((pane) => JSON.stringify(pane))
    if (one !== other) fail(`window ${key} should be ${one} and is ${other}`)
  }
}

function merge(panes: Map<string, Pane>, key: string, pane: Pane): void {
  const into = panes.get(key)
  if (into === undefined) {
    panes.set(key, pane)
    return
  }
  into.count += pane.count
  into.sum += pane.sum
  into.min = Math.min(into.min, pane.min)
  into.max = Math.max(into.max, pane.max)
  if (pane.first < into.first) into.first = pane.first
  if (pane.last > into.last) into.last = pane.last
}

/** A time and a value that compare as text as they do as a tuple; both are whole numbers. */
function reading(tsMs: number, value: number): string {
  return `${String(tsMs).padStart(16, '0')} ${String(value).padStart(16, '0')}`
}

function judgeLedger(ledger: Row[], samples: Row[], letters: Row[]): void {
  const keyOf = ({ stream, arrival }: Row) => `${stream} ${Math.floor(Number(arrival) / 60_000) * 60}`
  const stored = countBy(samples, keyOf)
  const deadLettered = countBy(letters, keyOf)
  const books = new Map<string, { accepted: number; stored: number; dead: number; duplicate: number }>()
  for (const row of ledger) {
    const key = `${row.stream} ${row.minute}`
    const sum = books.get(key) ?? { accepted: 0, stored: 0, dead: 0, duplicate: 0 }
    sum.accepted += Number(row.accepted)
    sum.stored += Number(row.stored)
    sum.dead += Number(row.dead_lettered)
    sum.duplicate += Number(row.duplicate)
    books.set(key, sum)
  }
  for (const key of new Set([...stored.keys(), ...deadLettered.keys(), ...books.keys()])) {
    const sum = books.get(key)
    const rows = `${stored.get(key) ?? 0} samples and ${deadLettered.get(key) ?? 0} dead letters`
    if (sum === undefined) fail(`the ledger knows nothing of ${key}: ${rows}`)
    const isRight = sum.stored === (stored.get(key) ?? 0) && sum.dead === (deadLettered.get(key) ?? 0)
    const isBalanced = sum.accepted === sum.stored + sum.dead + sum.duplicate
    if (!isRight || !isBalanced)
      fail(`the ledger says of ${key} ${JSON.stringify(sum)}, and there are ${rows}`)
  }
}

function countBy(rows: Row[], keyOf: (row: Row) => string): Map<string, number> {
  const counts = new Map<string, number>()
  for (const row of rows) counts.set(keyOf(row), (counts.get(keyOf(row)) ?? 0) + 1)
  return counts
}

function expect(row: Row, wanted: Row, { number }: Message): void {
  for (const [name, value] of Object.entries(wanted)) {
    if (row[name] !== value) fail(`message ${number} has ${name} ${row[name]} instead of ${value}`)
  }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}

function fail(message: string): never {
  throw new SimulationError(message)
}
