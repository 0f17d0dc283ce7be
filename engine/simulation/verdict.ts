/**
 * Compares the tables of a run that has ended with what its devices sent and were told: what was acknowledged is there,
 * nothing is there twice, every window counts each reading once, and the books balance.
 */
import type { Alert } from '../shard/alert.ts'
import { type Books, type Message, READINGS_MAX, type Reading } from './books.ts'
import type { NativeColumns } from './native-reader.ts'
import type { SimStore } from './sim-store.ts'
import { SimulationError } from './simulation-error.ts'
import { judgeEpisodes } from './verdict-episodes.ts'
import { type Downsamplers, judgePoints } from './verdict-points.ts'
import { judgeRollups, judgeVersions, type Operators, type Row } from './verdict-windows.ts'
import { AHEAD_GUARD_MS } from './world.ts'

/** Of one message: the places of its readings that were found, and which of them were quarantined. */
interface Found {
  places: Set<number>
  quarantined: Set<number>
  /** Its arrival minute. */
  minute: string
}

/** Throws SimulationError for the first thing that is wrong. Returns how many rows of each kind there are. */
export function judge(
  books: Books,
  store: SimStore,
  alerts: readonly Alert[],
  operators: Operators,
  downsamplers: Downsamplers,
): Record<string, number> {
  const tables = readTables(store)
  const { letters, refused } = sortLetters(tables.dead_letters)
  const refusedSamples = refused.filter(({ table }) => table === 'samples')
  const samples = [...tables.samples, ...refusedSamples]
  const found = judgeMessages(books, samples, letters)
  const rollups = [...tables.rollups, ...refused.filter(({ table }) => table === 'rollups')]
  judgeRollups(samples, rollups, store.windows, operators)
  const windowCount = judgeVersions(store.windows, operators)
  judgeLedger(tables.ledger, tables.samples, [...letters, ...refusedSamples], filteredBy(books, found))
  const duplicates = tables.ledger.reduce((sum, { duplicate }) => sum + Number(duplicate), 0)
  return {
    'reading stored': samples.length,
    'dead letter': letters.length,
    'row refused': refused.length,
    duplicate: duplicates,
    episode: judgeEpisodes(tables.anomalies, alerts, operators.epochCount === 1),
    'window version': windowCount,
    point: judgePoints(store.windows, downsamplers),
    amendment: store.windows.amendmentCount,
    filtered: tables.ledger.reduce((sum, { filtered }) => sum + Number(filtered), 0),
  }
}

function readTables(store: SimStore): Record<string, Row[]> {
  const tables: Record<string, Row[]> = {
    samples: [],
    rollups: [],
    dead_letters: [],
    ledger: [],
    anomalies: [],
  }
  for (const { table, block, epoch } of store.blocks.values())
    tables[table]?.push(...rowsOf(block.rowCount, block.columns, epoch))
  return tables
}

/** Each also with the epoch in which it was stored. */
function rowsOf(rowCount: number, columns: NativeColumns, epoch: number): Row[] {
  const names = [...columns.keys(), 'epoch']
  const values = [...columns.values(), new Array<number>(rowCount).fill(epoch)]
  return Array.from({ length: rowCount }, (_, row) =>
    Object.fromEntries(names.map((name, column) => [name, values[column][row]])),
  )
}

/** Messages that could not be decoded, and single rows that the store refused, as the rows they were. */
function sortLetters(rows: Row[]): { letters: Row[]; refused: Row[] } {
  const isRefused = ({ reason }: Row) => String(reason).startsWith('refused')
  const refused = rows.filter(isRefused).map(({ payload, epoch }) => {
    const row: Row = JSON.parse(String(payload))
    const times = ['ts', 'arrival', 'start', 'first', 'last'].filter((name) => name in row)
    for (const name of times) row[name] = Date.parse(String(row[name]))
    for (const name of ['first', 'last', 'distinct', 'quantiles'])
      if (name in row) row[`${name}.value`] = row[`${name}_value`]
    const lists = ['variance', 'distinct', 'distinct.value', 'quantiles', 'quantiles.value']
    for (const name of lists) if (name in row) row[name] = JSON.parse(String(row[name]))
    return { ...row, epoch, value: row.value ?? Number.NaN }
  })
  return { letters: rows.filter((row) => !isRefused(row)), refused }
}

function judgeMessages(books: Books, samples: Row[], letters: Row[]): Map<Message, Found> {
  const all = new Map<Message, Found>()
  const note = (message: Message, place: number, row: Row, isQuarantined: boolean) => {
    const found = all.get(message) ?? { places: new Set(), quarantined: new Set(), minute: minuteOf(row) }
    all.set(message, found)
    if (found.places.has(place)) fail(`message ${message.number} is stored twice`)
    found.places.add(place)
    if (isQuarantined) found.quarantined.add(place)
    if (Number(row.arrival) < message.sentMs) fail(`message ${message.number} arrived before it was sent`)
    expect(row, { stream: message.stream, device: message.device }, message)
  }
  for (const row of samples) {
    const key =
      row.text === '' ? Math.floor(Number(row.value)) : Number(/^t(\d+)\./.exec(String(row.text))?.[1])
    const message = books.messages[Math.floor(key / READINGS_MAX) - 1]
    const reading = message?.readings[key % READINGS_MAX]
    if (reading === undefined) fail(`a reading that nobody sent: ${row.value} ${row.text}`)
    note(message, key % READINGS_MAX, row, false)
    const { metric, text, tsMs, fraction, isFiltered } = reading
    expect(row, { metric, text, ts: tsMs ?? row.arrival }, message)
    if (text === '') expect(row, { value: key + fraction }, message)
    if (isFiltered) fail(`message ${message.number} has ${metric} stored, which is filtered`)
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
    note(message, 0, row, false)
    expect(row, { topic: message.topic }, message)
  }
  for (const message of books.messages) judgeWhole(message, all.get(message))
  return all
}

/** All of a message is there, or nothing; and if it was acknowledged, all. */
function judgeWhole(message: Message, found: Found | undefined): void {
  const { number, readings, isAcknowledged } = message
  const isAllFiltered = readings.length > 0 && readings.every(({ isFiltered }) => isFiltered)
  if (found === undefined) {
    if (isAcknowledged && !isAllFiltered) fail(`message ${number} was acknowledged and is lost`)
    return
  }
  readings.forEach(({ isFiltered, source }, place) => {
    const { places, quarantined } = found
    const isExpected = quarantined.has(place) || !(isFiltered || (source !== null && quarantined.has(source)))
    if (isExpected !== places.has(place)) fail(`message ${number} is stored in part, as for ${place}`)
  })
}

/** How many readings were filtered out of messages of which something else was found, by stream and minute. */
function filteredBy(
  books: Books,
  found: Map<Message, Found>,
): { known: Map<string, number>; total: Map<string, number> } {
  const known = new Map<string, number>()
  const total = new Map<string, number>()
  for (const message of books.messages) {
    const { readings, stream } = message
    const count = readings.filter(({ isFiltered }) => isFiltered).length
    total.set(stream, (total.get(stream) ?? 0) + count)
    const of = found.get(message)
    if (of === undefined) continue
    const filtered = readings.filter(
      ({ isFiltered }, place) => isFiltered && !of.quarantined.has(place),
    ).length
    known.set(of.minute, (known.get(of.minute) ?? 0) + filtered)
  }
  return { known, total }
}

/** A letter is a whole message whose readings are all ahead, or one reading of those that are. */
function noteQuarantined(
  books: Books,
  row: Row,
  whole: Message | undefined,
  note: (message: Message, place: number, row: Row, isQuarantined: boolean) => void,
): void {
  const { ts, ...metrics }: Row = whole === undefined ? JSON.parse(String(row.payload)) : {}
  const [value] = Object.values(metrics)
  const key = Number(/^t(\d+)\./.exec(String(value))?.[1] ?? value)
  const message = whole ?? books.messages[Math.floor(key / READINGS_MAX) - 1]
  if (message === undefined) fail(`a quarantined reading that nobody sent: ${row.payload}`)
  const sent = [...message.readings.keys()].filter((place) => message.readings[place]?.source === null)
  const places = whole === undefined ? [key % READINGS_MAX] : sent
  if (places.length === 0) fail(`message ${message.number} has no reading to be quarantined`)
  for (const place of places) {
    const reading = message.readings[place]
    if (reading === undefined || !isAhead(reading, row)) fail(`message ${message.number} was quarantined`)
    if (whole === undefined) expect({ ts }, { ts: reading.tsMs }, message)
    note(message, place, row, true)
  }
  const withoutPlant = message.topic.replace('north', '-') // of a WebSocket, which names only the device
  if (row.topic !== withoutPlant) expect(row, { topic: message.topic }, message)
}

function isAhead({ tsMs }: Reading, { arrival }: Row): boolean {
  return tsMs !== null && tsMs > Number(arrival) + AHEAD_GUARD_MS
}

function minuteOf({ stream, arrival }: Row): string {
  return `${stream} ${Math.floor(Number(arrival) / 60_000) * 60}`
}

function judgeLedger(
  ledger: Row[],
  samples: Row[],
  letters: Row[],
  filtered: { known: Map<string, number>; total: Map<string, number> },
): void {
  const stored = countBy(samples, minuteOf)
  const deadLettered = countBy(letters, minuteOf)
  const books = new Map<
    string,
    { accepted: number; stored: number; dead: number; duplicate: number; filtered: number }
  >()
  for (const row of ledger) {
    const key = `${row.stream} ${row.minute}`
    const sum = books.get(key) ?? { accepted: 0, stored: 0, dead: 0, duplicate: 0, filtered: 0 }
    sum.accepted += Number(row.accepted)
    sum.stored += Number(row.stored)
    sum.dead += Number(row.dead_lettered)
    sum.duplicate += Number(row.duplicate)
    sum.filtered += Number(row.filtered)
    books.set(key, sum)
  }
  for (const key of new Set([...stored.keys(), ...deadLettered.keys(), ...books.keys()])) {
    const sum = books.get(key)
    const rows = `${stored.get(key) ?? 0} samples and ${deadLettered.get(key) ?? 0} dead letters`
    if (sum === undefined) fail(`the ledger knows nothing of ${key}: ${rows}`)
    const isRight = sum.stored === (stored.get(key) ?? 0) && sum.dead === (deadLettered.get(key) ?? 0)
    const isBalanced = sum.accepted === sum.stored + sum.dead + sum.duplicate + sum.filtered
    if (!isRight || !isBalanced || sum.filtered < (filtered.known.get(key) ?? 0))
      fail(`the ledger says of ${key} ${JSON.stringify(sum)}, and there are ${rows}`)
  }
  for (const [stream, count] of filtered.total) {
    const said = ledger.reduce((sum, row) => sum + (row.stream === stream ? Number(row.filtered) : 0), 0)
    if (said > count) fail(`the ledger says that ${said} readings of ${stream} were filtered, of ${count}`)
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
