/**
 * A load thread: its share of the fleet. Speaks to `load.ts`: `connected`, `tick`s and `report` out; `go` and
 * `stop` in.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { Fleet, type FleetTick } from './fleet.ts'
import type { FleetOptions, FleetReport } from './fleet-options.ts'

export type LoadCommandMessage = 'go' | 'stop'
export type LoadWorkerMessage =
  | { kind: 'connected' }
  | { kind: 'tick'; tick: FleetTick }
  | { kind: 'report'; report: FleetReport }
  | { kind: 'fault'; message: string }

const post = (message: LoadWorkerMessage): void => parentPort?.postMessage(message)
const fleet = new Fleet(workerData as FleetOptions, (tick) => post({ kind: 'tick', tick }))

parentPort?.on('message', async (command: LoadCommandMessage) => {
  if (command === 'stop') {
    fleet.stop()
    return
  }
  post({ kind: 'report', report: await fleet.run() })
  parentPort?.close()
})

try {
  await fleet.connect()
  post({ kind: 'connected' })
} catch (error) {
  post({ kind: 'fault', message: error instanceof Error ? error.message : String(error) })
  parentPort?.close()
}
