/** For tests: a store child over a directory of its own, with its schema, and plain HTTP to its port. */
import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BlockWriter } from '../../codecs/native/block-writer.ts'
import { createSchema } from './schema.ts'
import { type StoreHandle, type StoreOptions, startStore } from './store.ts'
import { connectStore, type StoreTarget } from './target.ts'

export interface StoreFixture {
  readonly directory: string
  readonly store: StoreHandle
  readonly target: StoreTarget
  /** `http://127.0.0.1:port` of the analysts' port. */
  readonly url: string
  close(): Promise<void>
}

/** A block for `dead_letters` with these positions, and the columns it has. */
export function lettersBlock(positions: readonly number[], payload = 'bytes'): Uint8Array {
  const count = positions.length
  const writer = new BlockWriter()
  writer.begin(LETTERS_COLUMNS.length, count)
  writer.dateTime64('arrival', new Float64Array(count).fill(1_700_000_000_000), null)
  writer.lowCardinality('reason', [encoder.encode('test')], null, null)
  const sizes = new Int32Array(count).fill(payload.length)
  writer.string('payload', encoder.encode(payload), new Int32Array(count), sizes, null)
  writer.uint64('position', Float64Array.from(positions), null)
  return writer.finish()
}

export const LETTERS_COLUMNS = ['arrival', 'reason', 'payload', 'position']
const encoder = new TextEncoder()

export function temporaryDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'millrace-store-'))
}

export async function openFixture(options: Partial<StoreOptions> = {}): Promise<StoreFixture> {
  const directory = options.directory ?? temporaryDirectory()
  const store = await startStore({ directory, listen: { host: '127.0.0.1', port: 0 }, ...options })
  const target = connectStore({ socketPath: store.socketPath })
  await createSchema((sql) => target.command(sql), { syncOnInsert: true })
  return {
    directory,
    store,
    target,
    url: `http://127.0.0.1:${store.address?.port}`,
    async close() {
      await target.close()
      await store.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

export interface Answer {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly body: Buffer
  readonly text: string
}

/** One request with exactly these headers, which `fetch` would not allow. */
export function send(
  url: string,
  body: string | Uint8Array,
  headers: Record<string, string> = {},
  method = 'POST',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers, agent: false }, (message) => {
      const chunks: Buffer[] = []
      message.on('data', (chunk: Buffer) => chunks.push(chunk))
      message.on('error', reject)
      message.on('end', () => {
        const whole = Buffer.concat(chunks)
        resolve({
          status: message.statusCode ?? 0,
          headers: message.headers,
          body: whole,
          text: whole.toString('utf8'),
        })
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })
}
