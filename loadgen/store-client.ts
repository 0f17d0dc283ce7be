/**
 * The two questions that verification asks ClickHouse's HTTP port: rows as fixed-size binary, streamed, and
 * small answers as objects. Sends no settings, so it works on a read-only port.
 */
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client'
import { LoadError } from './fleet.ts'
import type { Address } from './transport.ts'

const REQUEST_TIMEOUT_MS = 120_000
/** Nobody answers: it may be starting. */
const AWAY_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
])

export class StoreAwayError extends LoadError {}

export class StoreClient {
  readonly #client: ClickHouseClient
  readonly #url: string

  constructor(address: Address) {
    this.#url = `http://${address.host}:${address.port}`
    this.#client = createClient({
      url: this.#url,
      request_timeout: REQUEST_TIMEOUT_MS,
      log: { level: ClickHouseLogLevel.OFF },
    })
  }

  async rows<T>(sql: string): Promise<T[]> {
    try {
      const result = await this.#client.query({ query: sql, format: 'JSONEachRow' })
      return await result.json<T>()
    } catch (error) {
      throw this.#fault(error)
    }
  }

  /** Calls `onRow` for each row of a RowBinary answer whose rows all have `rowSizeBytes`. */
  async binaryRows(
    sql: string,
    rowSizeBytes: number,
    onRow: (row: DataView, at: number) => void,
  ): Promise<void> {
    try {
      const { stream } = await this.#client.exec({ query: `${sql} FORMAT RowBinary` })
      let rest: Uint8Array = new Uint8Array(0)
      for await (const chunk of stream as AsyncIterable<Uint8Array>) {
        const bytes = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
        let at = 0
        for (; at + rowSizeBytes <= bytes.length; at += rowSizeBytes) onRow(view, at)
        rest = bytes.subarray(at)
      }
      if (rest.length > 0) throw new Error('the answer ended within a row')
    } catch (error) {
      throw this.#fault(error)
    }
  }

  close(): Promise<void> {
    return this.#client.close()
  }

  #fault(cause: unknown): LoadError {
    const { code, message } = cause as NodeJS.ErrnoException
    const text = cause instanceof Error ? message || code : String(cause)
    const isAway = AWAY_CODES.has(code ?? '') || /socket hang up/.test(message)
    const Fault = isAway ? StoreAwayError : LoadError
    return new Fault(`the store at ${this.#url} failed: ${text}`, { cause })
  }
}
