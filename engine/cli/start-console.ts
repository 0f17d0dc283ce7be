/** What `millrace start` prints: lines for people, or with --json an event a line. */
import { formatAddress } from '../address.ts'
import { printable } from '../audit/printable.ts'
import type { EngineAddresses } from '../engine.ts'
import type { EngineFigures } from '../engine-messages.ts'
import type { Fault } from '../fault-log.ts'
import type { Refusal } from '../registry/credentials.ts'
import type { Alert } from '../shard/alert.ts'
import type { CommandIo } from './command.ts'

export interface StartConsole {
  /** Again after each restart. */
  ready(addresses: EngineAddresses, enginePid: number): void
  status(figures: EngineFigures): void
  replaying(doneBytes: number, totalBytes: number): void
  fault(fault: Fault): void
  alerts(alerts: readonly Alert[]): void
  refusals(refusals: readonly Refusal[]): void
  warning(message: string): void
  stopping(): void
  stopped(rowsStored: number, isDrained: boolean): void
}

export function createConsole(io: CommandIo, isJson: boolean, isDemo: boolean): StartConsole {
  return isJson ? new JsonConsole(io) : new TextConsole(io, isDemo)
}

class JsonConsole implements StartConsole {
  #io: CommandIo

  constructor(io: CommandIo) {
    this.#io = io
  }

  ready(addresses: EngineAddresses, enginePid: number): void {
    const texts: Record<string, string> = {}
    for (const [name, address] of listeners(addresses)) {
      texts[name] = formatAddress(address)
      this.#emit({ event: 'listening', listener: name, address: texts[name] })
    }
    this.#emit({ event: 'ready', ...texts, pid: process.pid, enginePid })
  }

  status(figures: EngineFigures): void {
    this.#emit({ event: 'status', ...figures })
  }

  replaying(doneBytes: number, totalBytes: number): void {
    this.#emit({ event: 'replaying', doneBytes, totalBytes })
  }

  fault({ code, message, isOver }: Fault): void {
    this.#emit({ event: 'fault', code, message, isOver })
  }

  alerts(alerts: readonly Alert[]): void {
    for (const alert of alerts) this.#emit({ event: 'alert', ...alert })
  }

  refusals(refusals: readonly Refusal[]): void {
    for (const refusal of refusals) this.#emit({ event: 'refused', ...refusal })
  }

  warning(message: string): void {
    this.#emit({ event: 'warning', message })
  }

  stopping(): void {}

  stopped(rowsStored: number, isDrained: boolean): void {
    this.#emit({ event: 'stopped', rowsStored, isDrained })
  }

  #emit(event: Record<string, unknown>): void {
    this.#io.stdout.write(`${JSON.stringify(event)}\n`)
  }
}

class TextConsole implements StartConsole {
  #io: CommandIo
  #isDemo: boolean
  #last: EngineFigures | null = null
  #wasReady = false
  #isReplaying = false
  #isLineOpen = false

  constructor(io: CommandIo, isDemo: boolean) {
    this.#io = io
    this.#isDemo = isDemo
  }

  ready(addresses: EngineAddresses): void {
    const wasReady = this.#wasReady
    this.#wasReady = true
    this.#last = null
    this.#isReplaying = false
    const about: Record<string, string> = {
      mqtt: 'MQTT 3.1.1 and 5.0',
      mqtts: 'MQTT over TLS',
      ws: 'WebSocket: /mqtt and /ingest/{device}',
      wss: 'WebSocket over TLS',
      http: '/healthz, /readyz, /metrics',
      store: "SQL over ClickHouse's HTTP protocol, read-only",
    }
    for (const [name, address] of listeners(addresses)) {
      this.#line(`${name.padEnd(6)} ${formatAddress(address).padEnd(22)} ${about[name]}`)
    }
    this.#line('ready')
    if (this.#isDemo && !wasReady && addresses.store !== null) this.#suggest(formatAddress(addresses.store))
  }

  status(status: EngineFigures): void {
    if (this.#isReplaying) return
    if (!this.#isDemo && !this.#io.stdout.isTTY) return
    const last = this.#last
    this.#last = status
    if (last === null) return
    const seconds = Math.max(0.001, (status.uptimeMs - last.uptimeMs) / 1000)
    const rate = (figure: 'messages' | 'readings') => Math.round((status[figure] - last[figure]) / seconds)
    this.#statusLine(
      [
        `${status.connections} connections`,
        `${grouped(rate('messages'))} messages/s`,
        `${grouped(rate('readings'))} readings/s`,
        `${grouped(status.rowsStored)} rows stored`,
        `PUBACK p99 ${(status.pubackP99Us / 1000).toFixed(1)} ms`,
        `backlog ${(status.backlogSizeBytes / 1e6).toFixed(1)} MB`,
      ].join(' | '),
    )
  }

  replaying(doneBytes: number, totalBytes: number): void {
    this.#isReplaying = doneBytes < totalBytes
    this.#statusLine(`replaying: ${Math.ceil(doneBytes / 1e6)} of ${Math.ceil(totalBytes / 1e6)} MB`)
  }

  fault({ message, isOver }: Fault): void {
    this.#endLine()
    this.#io.stderr.write(`millrace: ${isOver ? 'over: ' : ''}${message}\n`)
  }

  alerts(alerts: readonly Alert[]): void {
    for (const alert of alerts) this.#line(alertText(alert))
  }

  refusals(refusals: readonly Refusal[]): void {
    this.#endLine()
    for (const refusal of refusals) this.#io.stderr.write(`millrace: ${refusalText(refusal)}\n`)
  }

  warning(message: string): void {
    this.#endLine()
    this.#io.stderr.write(`millrace: warning: ${message}\n`)
  }

  stopping(): void {
    this.#line('draining; press Ctrl-C again to end at once')
  }

  stopped(rowsStored: number, isDrained: boolean): void {
    const rest = isDrained ? '' : '; the rest waits in the journal for the next start'
    this.#line(`stopped: ${grouped(rowsStored)} rows stored${rest}`)
  }

  #suggest(store: string): void {
    this.#line(`
try   curl http://${store}/ -d 'SELECT device, metric, count(), round(avg(value), 2) AS mean
        FROM millrace.samples GROUP BY device, metric ORDER BY count() DESC LIMIT 10 FORMAT PrettyCompact'
or    npx millrace query --store ${store} "SELECT window, count() AS windows, sum(count) AS readings
        FROM millrace.rollups_merged GROUP BY window"
`)
  }

  /** On a terminal one line that is written over; elsewhere a line each. */
  #statusLine(text: string): void {
    if (!this.#io.stdout.isTTY) {
      this.#io.stdout.write(`${text}\n`)
      return
    }
    this.#io.stdout.write(`\r\x1b[K${text.slice(0, (this.#io.stdout.columns ?? 80) - 1)}`)
    this.#isLineOpen = true
  }

  #line(text: string): void {
    this.#endLine()
    this.#io.stdout.write(`${text}\n`)
  }

  #endLine(): void {
    if (this.#isLineOpen) this.#io.stdout.write('\n')
    this.#isLineOpen = false
  }
}

function listeners(addresses: EngineAddresses): [string, EngineAddresses['mqtt']][] {
  const { mqtt, mqtts, webSocket, wss, http, store } = addresses
  const all: [string, EngineAddresses['store']][] = [
    ['mqtt', mqtt],
    ['mqtts', mqtts],
    ['ws', webSocket],
    ['wss', wss],
    ['http', http],
    ['store', store],
  ]
  return all.flatMap(([name, address]) => (address === null ? [] : [[name, address]]))
}

/** 1234567 as 1,234,567. */
function grouped(count: number): string {
  return count.toLocaleString('en-US')
}

function alertText(alert: Alert): string {
  const { stream, device, metric, detector, state, severity, value, expectedLow, expectedHigh } = alert
  const isExpected = Number.isFinite(expectedLow) || Number.isFinite(expectedHigh)
  const expected = isExpected ? `, expected ${short(expectedLow)} to ${short(expectedHigh)}` : ''
  const name = printable(`${stream} ${device} ${metric}`)
  return `alert  ${severity} ${detector} ${state}: ${name} is ${short(value)}${expected}`
}

function refusalText({ what, reason, device, client, address, topic, count }: Refusal): string {
  const about = [
    device === '' ? '' : ` of ${device}`,
    topic === '' ? '' : ` ${what === 'subscribe' ? 'to' : 'on'} ${topic}`,
    client === '' ? '' : `, client ${client}`,
    address === '' ? '' : `, from ${address}`,
    count === 1 ? '' : `, ${grouped(count)} times`,
  ]
  return printable(`refused ${what}${about.join('')}: ${reason}`)
}

/** What is not a number came as null. */
function short(x: number): string {
  return Number.isFinite(x) ? String(Number(x.toPrecision(6))) : '?'
}
