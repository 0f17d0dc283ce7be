/**
 * Bodies of inserts, written to files of a private directory so that the engine can read them as they are:
 * inline data would end at an empty line and go on as SQL. A file lives for one insert.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { tooLarge } from './http-request.ts'

/** Chunks are written together from this size on: one call per 4 MiB instead of one per 64 KiB. */
const WRITE_SIZE_BYTES = 4 << 20

export class BodyFiles {
  readonly #directory: string
  readonly #sizeBytesMax: number
  #sequence = 0

  /** Empties the directory of what an earlier run left. */
  constructor(directory: string, sizeBytesMax: number) {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    for (const name of readdirSync(directory)) rmSync(join(directory, name), { recursive: true, force: true })
    this.#directory = directory
    this.#sizeBytesMax = sizeBytesMax
  }

  /** Calls `use` with the path once the whole body is in the file; a body cut short never gets there. */
  async withFile<T>(body: Readable, use: (path: string) => Promise<T>): Promise<T> {
    const path = join(this.#directory, `${++this.#sequence}.body`)
    try {
      const file = await open(path, 'wx', 0o600)
      try {
        await this.#write(body, file)
      } finally {
        await file.close()
      }
      return await use(path)
    } finally {
      await rm(path, { force: true })
    }
  }

  async #write(body: Readable, file: FileHandle): Promise<void> {
    let chunks: Buffer[] = []
    let pendingSizeBytes = 0
    let sizeBytes = 0
    for await (const chunk of body) {
      sizeBytes += chunk.length
      if (sizeBytes > this.#sizeBytesMax) throw tooLarge('body of the insert', this.#sizeBytesMax)
      chunks.push(chunk)
      pendingSizeBytes += chunk.length
      if (pendingSizeBytes < WRITE_SIZE_BYTES) continue
      await writeAll(file, chunks)
      chunks = []
      pendingSizeBytes = 0
    }
    if (chunks.length > 0) await writeAll(file, chunks)
  }
}

async function writeAll(file: FileHandle, chunks: readonly Buffer[]): Promise<void> {
  const { bytesWritten } = await file.writev(chunks)
  const sizeBytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  if (bytesWritten === sizeBytes) return
  // A short write, rare on files: the rest the plain way, which retries by itself.
  await file.writeFile(Buffer.concat(chunks).subarray(bytesWritten))
}
