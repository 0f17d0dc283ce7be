/**
 * Keeps the TLS files in view: loads them at start, and again when they have changed or when asked to. Owner:
 * the main thread. Invariant: what was loaded last stays in use until something else has been loaded whole.
 */
import { statSync } from 'node:fs'
import { EngineError } from '../engine-error.ts'
import type { Fault } from '../fault-log.ts'
import { type LoadedTls, loadTls } from './tls-files.ts'
import type { TlsFiles, TlsMaterial } from './tls-material.ts'

const LOOK_INTERVAL_MS = 2000

export interface TlsEvents {
  onRenewed(material: TlsMaterial): void
  onFault(fault: Fault): void
}

export class TlsKeeper {
  #files: TlsFiles
  #events: TlsEvents
  #loaded: LoadedTls
  /** What the files looked like when they were judged last, and at a look that found them broken. */
  #seen: string
  #failed = ''
  #timer: NodeJS.Timeout

  /** Throws EngineError. */
  constructor(files: TlsFiles, events: TlsEvents) {
    this.#files = files
    this.#events = events
    this.#seen = appearance(files)
    this.#loaded = loadTls(files)
    this.#timer = setInterval(() => this.#look(), LOOK_INTERVAL_MS)
    this.#timer.unref()
  }

  get material(): TlsMaterial {
    return this.#loaded.material
  }

  /** When the certificate in use expires, ms since the epoch. */
  get expiresMs(): number {
    return this.#loaded.expiresMs
  }

  /** Reads the files now. */
  reload(): void {
    this.#seen = appearance(this.#files)
    const error = this.#load()
    if (error !== null) this.#tell(error)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** A pair is written one file after the other: it is broken when it is so at two looks. */
  #look(): void {
    const seen = appearance(this.#files)
    if (seen === this.#seen) return
    const error = this.#load()
    if (error === null || this.#failed === seen) this.#seen = seen
    if (error !== null && this.#failed === seen) this.#tell(error)
    this.#failed = error === null ? '' : seen
  }

  #load(): EngineError | null {
    try {
      this.#loaded = loadTls(this.#files)
    } catch (error) {
      if (error instanceof EngineError) return error
      throw error
    }
    this.#events.onRenewed(this.#loaded.material)
    this.#events.onFault({ code: 'TLS_FILES', message: 'the TLS files are good again', isOver: true })
    return null
  }

  #tell({ code, message }: EngineError): void {
    const about = `${message}; the certificate from before stays in use`
    this.#events.onFault({ code, message: about, isOver: false })
  }
}

function appearance({ certificate, key, clientAuthority }: TlsFiles): string {
  return [certificate, key, clientAuthority].map(stamp).join()
}

function stamp(path: string | null): string {
  if (path === null) return ''
  try {
    const { ino, size, mtimeMs } = statSync(path)
    return `${ino}:${size}:${mtimeMs}`
  } catch {
    return 'none' // `loadTls` says why
  }
}
