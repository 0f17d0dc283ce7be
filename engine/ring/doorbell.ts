/**
 * Wakes another thread's event loop. Each thread owns one bell and sleeps on it; anyone may ring it. A thread that is
 * awake costs its ringers one atomic load.
 *
 * The owner says that it will sleep, looks once more for work, and only then sleeps: a ring in between is not lost.
 *
 *   offset  type  word
 *        0  i32   1 while the owner sleeps or is about to
 */

const DOORBELL_SIZE_BYTES = 128

export class Doorbell {
  #word: Int32Array
  #isWaiting = false

  constructor(memory: SharedArrayBuffer) {
    this.#word = new Int32Array(memory, 0, 1)
  }

  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(DOORBELL_SIZE_BYTES)
  }

  // hot: per batch
  ring(): void {
    if (Atomics.load(this.#word, 0) === 0) return
    if (Atomics.exchange(this.#word, 0, 0) === 1) Atomics.notify(this.#word, 0, 1)
  }

  /** Owner: before the last look for work. */
  announceSleep(): void {
    Atomics.store(this.#word, 0, 1)
  }

  /** Owner: there was work after all. */
  cancelSleep(): void {
    Atomics.store(this.#word, 0, 0)
  }

  /** Owner, after announceSleep: calls `wake` once the bell is rung, soon when it was rung already. */
  sleep(wake: () => void): void {
    if (this.#isWaiting) return // woken by something else last time: that wait still stands
    const wait = Atomics.waitAsync(this.#word, 0, 1)
    if (!wait.async) {
      setImmediate(wake)
      return
    }
    this.#isWaiting = true
    void wait.value.then(() => {
      this.#isWaiting = false
      wake()
    })
  }
}
