/**
 * Fills write buffers with one connection's messages: which device and message number comes next, and where
 * its copy of the template lies. A buffer has room for a frame head, then slots of the template's size. Owned
 * by one publisher.
 */
import type { PublishTemplate } from './publish-template.ts'
import type { PublishWindow } from './publish-window.ts'
import { devicesOfConnection } from './telemetry.ts'
import { FRAME_HEAD_SIZE_BYTES_MAX } from './websocket-client.ts'

/** A buffer whose `slots` slots are copies of the template, so that only the fields need writing. */
export function createWriteBuffer(template: PublishTemplate, slots: number): Buffer {
  const buffer = Buffer.alloc(FRAME_HEAD_SIZE_BYTES_MAX + slots * template.sizeBytes)
  for (let slot = 0; slot < slots; slot++) {
    buffer.set(template.bytes, FRAME_HEAD_SIZE_BYTES_MAX + slot * template.sizeBytes)
  }
  return buffer
}

export class MessageFiller {
  readonly #template: PublishTemplate
  readonly #connection: number
  readonly #devices: number
  /** The device in turn and its message number, for the next new message. */
  #turn = 0
  #seq = 0

  constructor(template: PublishTemplate, connection: number) {
    this.#template = template
    this.#connection = connection
    this.#devices = devicesOfConnection(template.plan, connection)
  }

  /** Fills in the window's next `count` messages, each new. Returns their number. */
  // hot: per message
  fill(buffer: Buffer, window: PublishWindow, count: number): number {
    const template = this.#template
    const { connections } = template.plan
    const sizeBytes = template.sizeBytes
    const next = window.next
    let turn = this.#turn
    let seq = this.#seq
    let at = FRAME_HEAD_SIZE_BYTES_MAX
    for (let index = 0; index < count; index++, at += sizeBytes) {
      const device = turn * connections + this.#connection
      template.patch(buffer, at, device, seq, window.packetId(next + index), false)
      if (++turn === this.#devices) {
        turn = 0
        seq++
      }
    }
    this.#turn = turn
    this.#seq = seq
    return count
  }

  /** Fills a message that was sent before into a slot. */
  fillOne(buffer: Buffer, slot: number, window: PublishWindow, message: number, isDup: boolean): void {
    const template = this.#template
    const turn = message % this.#devices
    const device = turn * template.plan.connections + this.#connection
    const seq = (message - turn) / this.#devices
    const at = FRAME_HEAD_SIZE_BYTES_MAX + slot * template.sizeBytes
    template.patch(buffer, at, device, seq, window.packetId(message), isDup)
  }
}
