/**
 * A socket whose end is put off: when thousands are cut at once, the thread that has to close them all still
 * turns to the others in between. Owner: the gateway's thread.
 */
import { Socket } from 'node:net'
import { Fifo } from './fifo.ts'

/** Closed in one turn of the event loop: some 4 ms of work. */
const CLOSED_PER_TURN = 64

export class PacedSocket extends Socket {
  #pace: ClosingPace | null

  constructor(options: ConstructorParameters<typeof Socket>[0], pace: ClosingPace) {
    super(options)
    this.#pace = pace
  }

  /** How `net` ends a socket, be it for an error; which one does not matter here. */
  override destroy(): this {
    this.#pace?.add(this)
    this.#pace = null
    return this
  }

  close(): void {
    super.destroy()
  }
}

export class ClosingPace {
  #waiting = new Fifo<PacedSocket>()
  #isRunning = false

  add(socket: PacedSocket): void {
    this.#waiting.push(socket)
    if (this.#isRunning) return
    this.#isRunning = true
    setImmediate(this.#closeSome)
  }

  closeAll(): void {
    for (let socket = this.#waiting.shift(); socket !== undefined; socket = this.#waiting.shift())
      socket.close()
  }

  #closeSome = (): void => {
    for (let count = 0; count < CLOSED_PER_TURN; count++) this.#waiting.shift()?.close()
    this.#isRunning = this.#waiting.count > 0
    if (this.#isRunning) setImmediate(this.#closeSome)
  }
}
