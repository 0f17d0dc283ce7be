/** For tests: a gateway in a worker thread, as the engine runs it. */
import { parentPort, workerData } from 'node:worker_threads'
import { systemClock } from '../../base/clock.ts'
import { startGateway } from './gateway.ts'
import type { PlainSetup } from './socket-harness.ts'

const control = startGateway({ ...(workerData as PlainSetup), clock: systemClock }, (report) => {
  parentPort?.postMessage(report)
})

parentPort?.on('message', (message: 'status' | 'stop') => {
  if (message === 'status') {
    parentPort?.postMessage({ kind: 'status', ...control.status() })
    return
  }
  void control.stop().then(() => parentPort?.close())
})
