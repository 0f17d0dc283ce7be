/**
 * The client's side of WebSocket (RFC 6455) as far as a load generator needs it: the handshake, frame heads
 * written in front of bytes that are already there, and a reader that hands frames' payloads on without
 * copying. Every frame is masked with the key zero: legal on the wire, and the payload stays as it is, so the
 * generator spends nothing on it (the server unmasks all the same).
 */
import { createHash, randomBytes } from 'node:crypto'

export const WsOpcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const
export type WsOpcode = (typeof WsOpcode)[keyof typeof WsOpcode]

/** The largest head: two bytes, a 64-bit length, the masking key. */
export const FRAME_HEAD_SIZE_BYTES_MAX = 14
const HANDSHAKE_SIZE_BYTES_MAX = 16_384
const CONTROL_SIZE_BYTES_MAX = 125
const ACCEPT_SALT = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** Size of the head of a masked frame whose payload has `sizeBytes`. */
export function frameHeadSize(sizeBytes: number): number {
  return sizeBytes < 126 ? 6 : sizeBytes < 65_536 ? 8 : FRAME_HEAD_SIZE_BYTES_MAX
}

/**
 * Writes the head of a masked frame (key zero) at `at`; its payload follows at `at +
 * frameHeadSize(sizeBytes)`.
 */
// hot: per write
export function writeFrameHead(target: Uint8Array, at: number, opcode: WsOpcode, sizeBytes: number): void {
  const headSize = frameHeadSize(sizeBytes)
  target.fill(0, at, at + headSize)
  target[at] = 0x80 | opcode
  if (sizeBytes < 126) {
    target[at + 1] = 0x80 | sizeBytes
    return
  }
  const lengthSize = headSize - 6
  target[at + 1] = 0x80 | (lengthSize === 2 ? 126 : 127)
  let rest = sizeBytes
  for (let index = lengthSize - 1; index >= 0 && rest > 0; index--, rest = Math.floor(rest / 256)) {
    target[at + 2 + index] = rest % 256
  }
}

/** A whole masked frame; for the cold paths. */
export function frameOf(opcode: WsOpcode, payload: Uint8Array): Uint8Array {
  const headSize = frameHeadSize(payload.length)
  const frame = new Uint8Array(headSize + payload.length)
  writeFrameHead(frame, 0, opcode, payload.length)
  frame.set(payload, headSize)
  return frame
}

export interface Handshake {
  request: string
  /** What the server must answer in Sec-WebSocket-Accept. */
  accept: string
}

export function createHandshake(authority: string, path: string, subprotocol: string | null): Handshake {
  const key = randomBytes(16).toString('base64')
  const lines = [
    `GET ${path} HTTP/1.1`,
    `Host: ${authority}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${key}`,
  ]
  if (subprotocol !== null) lines.push(`Sec-WebSocket-Protocol: ${subprotocol}`)
  const accept = createHash('sha1')
    .update(key + ACCEPT_SALT)
    .digest('base64')
  return { request: `${lines.join('\r\n')}\r\n\r\n`, accept }
}

/**
 * Reads the answer to the handshake: null while it is not complete, else where the frames start or what is
 * wrong.
 */
export function readHandshake(bytes: Buffer, accept: string): { end: number; fault: string | null } | null {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd < 0) {
    return bytes.length > HANDSHAKE_SIZE_BYTES_MAX
      ? { end: 0, fault: 'an endless answer to the handshake' }
      : null
  }
  const lines = bytes.toString('latin1', 0, headEnd).split('\r\n')
  const end = headEnd + 4
  if (!/^HTTP\/1\.1 101\b/.test(lines[0])) return { end, fault: `the handshake was answered "${lines[0]}"` }
  const isAccepted = lines.some((line) => {
    const [name, value] = line.split(/:\s*/, 2)
    return name.toLowerCase() === 'sec-websocket-accept' && value?.trim() === accept
  })
  return { end, fault: isAccepted ? null : 'the handshake was answered with a wrong Sec-WebSocket-Accept' }
}

export interface FrameHandler {
  /** A piece of a data frame's payload, in order; `isLast` on the last piece of a message. */
  onPayload(bytes: Uint8Array, start: number, end: number, isLast: boolean): void
  onControl(opcode: WsOpcode, payload: Uint8Array): void
}

/**
 * Cuts a server's frames out of chunks. Invariant: while `#left` > 0 the reader is inside a payload; else
 * `#headSize` bytes of a head are held.
 */
export class FrameReader {
  readonly #handler: FrameHandler
  readonly #head = new Uint8Array(10)
  #headSize = 0
  #left = 0
  #isInside = false
  #opcode: WsOpcode = WsOpcode.binary
  #isFinal = true
  readonly #control = new Uint8Array(CONTROL_SIZE_BYTES_MAX)
  #controlSize = 0

  constructor(handler: FrameHandler) {
    this.#handler = handler
  }

  /** False: the server broke the protocol. */
  read(bytes: Uint8Array, start: number, end: number): boolean {
    let offset = start
    while (offset < end) {
      if (!this.#isInside) {
        this.#head[this.#headSize++] = bytes[offset++]
        const taken = this.#takeHead()
        if (taken < 0) return false
        if (taken === 0) continue
      }
      const take = Math.min(this.#left, end - offset)
      this.#left -= take
      if (this.#opcode >= WsOpcode.close) {
        this.#control.set(bytes.subarray(offset, offset + take), this.#controlSize)
        this.#controlSize += take
      } else {
        this.#handler.onPayload(bytes, offset, offset + take, this.#left === 0 && this.#isFinal)
      }
      offset += take
      if (this.#left === 0) this.#endFrame()
    }
    return true
  }

  /**
   * 1: a payload follows; 0: more bytes of a head are needed (the frame may have been empty); -1: not a
   * server's frame.
   */
  #takeHead(): number {
    if (this.#headSize < 2) return 0
    const head = this.#head
    if (head[0] & 0x70 || head[1] & 0x80) return -1
    const length = head[1]
    const lengthSize = length < 126 ? 0 : length === 126 ? 2 : 8
    if (this.#headSize < 2 + lengthSize) return 0
    this.#left = lengthSize === 0 ? length : 0
    for (let index = 0; index < lengthSize; index++) this.#left = this.#left * 256 + head[2 + index]
    this.#opcode = (head[0] & 0x0f) as WsOpcode
    this.#isFinal = (head[0] & 0x80) !== 0
    if (this.#opcode >= WsOpcode.close && (this.#left > CONTROL_SIZE_BYTES_MAX || !this.#isFinal)) return -1
    this.#headSize = 0
    this.#isInside = this.#left > 0
    if (this.#left === 0) {
      if (this.#opcode < WsOpcode.close) this.#handler.onPayload(head, 0, 0, this.#isFinal)
      this.#endFrame()
      return 0
    }
    return 1
  }

  #endFrame(): void {
    this.#isInside = false
    if (this.#opcode < WsOpcode.close) return
    this.#handler.onControl(this.#opcode, this.#control.slice(0, this.#controlSize))
    this.#controlSize = 0
  }
}
