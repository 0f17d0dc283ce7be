/** What the plain WebSocket door says: `{"ack":n}` and `{"error":"..."}`, as JSON text or as MessagePack. */

const encoder = new TextEncoder()
const ERROR_SIZE_BYTES_MAX = 255

export function jsonAck(seq: number): string {
  return `{"ack":${seq}}`
}

export function jsonError(message: string): string {
  return JSON.stringify({ error: message })
}

/** {ack: seq}, the number as a fixint, uint 32 or uint 64. */
export function msgpackAck(seq: number): Uint8Array {
  const out = Uint8Array.of(0x81, 0xa3, 0x61, 0x63, 0x6b, 0, 0, 0, 0, 0, 0, 0, 0, 0)
  const view = new DataView(out.buffer)
  if (seq <= 0x7f) {
    out[5] = seq
    return out.subarray(0, 6)
  }
  if (seq <= 0xffff_ffff) {
    out[5] = 0xce
    view.setUint32(6, seq)
    return out.subarray(0, 10)
  }
  out[5] = 0xcf
  view.setBigUint64(6, BigInt(seq))
  return out
}

/** {error: message}; what is beyond 255 bytes is cut off. */
export function msgpackError(message: string): Uint8Array {
  const text = new Uint8Array(ERROR_SIZE_BYTES_MAX)
  const { written } = encoder.encodeInto(message, text)
  const head = Uint8Array.of(0x81, 0xa5, 0x65, 0x72, 0x72, 0x6f, 0x72, 0xd9, written)
  const out = new Uint8Array(head.length + written)
  out.set(head)
  out.set(text.subarray(0, written), head.length)
  return out
}
