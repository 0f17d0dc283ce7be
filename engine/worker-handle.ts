/** The main thread's end of a worker thread: requests with an answer each, reports on to the engine. */

import type { TransferListItem } from 'node:worker_threads'
import { Worker } from 'node:worker_threads'
import type { WorkerReport, WorkerRequest, WorkerSetup } from './engine-worker.ts'

export interface WorkerEvents {
  onReport(report: Exclude<WorkerReport, { role: 'worker' }>): void
  /** The thread ended without being asked to. */
  onDeath(error: Error): void
}

const EXIT_WAIT_MS = 1000

export class WorkerHandle {
  readonly name: string
  #worker: Worker
  #waiting = new Map<WorkerRequest['kind'], (isDone: boolean) => void>()
  #isStopping = false
  #hasExited = false
  #exited: Promise<void>

  constructor(name: string, setup: WorkerSetup, transfer: TransferListItem[], events: WorkerEvents) {
    this.name = name
    this.#worker = new Worker(new URL('./engine-worker.ts', import.meta.url), {
      name,
      workerData: setup,
      transferList: transfer,
    })
    this.#worker.on('message', (message: WorkerReport) => {
      if (message.role !== 'worker') events.onReport(message)
      else this.#settle(message.report.request, message.report.isDrained)
    })
    let cause: Error | null = null
    this.#worker.on('error', (error: Error) => {
      cause = error
    })
    this.#exited = new Promise((resolve) => {
      this.#worker.on('exit', (code) => {
        this.#hasExited = true
        for (const request of this.#waiting.keys()) this.#settle(request, false)
        if (!this.#isStopping) events.onDeath(cause ?? new Error(`${name} ended with code ${code}`))
        resolve()
      })
    })
  }

  /** Resolves with what the thread answers; false when it has died, or dies before it does. */
  request(request: WorkerRequest): Promise<boolean> {
    if (this.#hasExited) return Promise.resolve(false)
    return new Promise((resolve) => {
      this.#waiting.set(request.kind, resolve)
      this.#worker.postMessage(request)
    })
  }

  /** CPU time of the thread since its start, seconds; null once it has ended. */
  async cpuSeconds(): Promise<number | null> {
    try {
      const { user, system } = await this.#worker.cpuUsage()
      return (user + system) / 1e6
    } catch {
      return null
    }
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    await this.request({ kind: 'stop' })
    // All of ours is closed; the config, which is code, may hold the thread.
    const patience = setTimeout(() => void this.#worker.terminate(), EXIT_WAIT_MS)
    await this.#exited
    clearTimeout(patience)
  }

  #settle(request: WorkerRequest['kind'], isDone: boolean): void {
    this.#waiting.get(request)?.(isDone)
    this.#waiting.delete(request)
  }
}
