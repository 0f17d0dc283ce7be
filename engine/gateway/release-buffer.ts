/**
 * PUBRELs of one read, in the order of the PUBRECs ([MQTT-4.6.0-4]), so that they leave in one write. Owner: the
 * gateway's thread. Bounded by the read.
 */
import { ACK_SIZE_BYTES_MAX, writeAck } from '../../codecs/mqtt/ack.ts'
import { PacketType, type ProtocolVersion } from '../../codecs/mqtt/packet.ts'

const CAPACITY_BYTES_MIN = 64
const NOTHING = new Uint8Array(0)

export class ReleaseBuffer {
  #bytes = NOTHING
  #sizeBytes = 0

  get isEmpty(): boolean {
    return this.#sizeBytes === 0
  }

  // hot: per message of QoS 2 and subscriber
  push(packetId: number, reasonCode: number, version: ProtocolVersion): void {
    const size = this.#sizeBytes
    if (size + ACK_SIZE_BYTES_MAX > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#bytes.length * 2, CAPACITY_BYTES_MIN))
      grown.set(this.#bytes.subarray(0, size))
      this.#bytes = grown
    }
    this.#sizeBytes = writeAck(this.#bytes, size, PacketType.PUBREL, packetId, reasonCode, version)
  }

  /** Gives up what it holds, with its memory. */
  take(): Uint8Array {
    const bytes = this.#bytes.subarray(0, this.#sizeBytes)
    this.#bytes = NOTHING
    this.#sizeBytes = 0
    return bytes
  }
}
