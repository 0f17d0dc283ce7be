import { describe, expect, test } from 'vitest'
import { Prng } from '../base/prng.ts'
import { createHandshake, FrameReader, frameOf, readHandshake, WsOpcode } from './websocket-client.ts'

/** A server's frame, written by hand as in RFC 6455, section 5.2. */
function serverFrame(opcode: number, payload: Uint8Array, isFinal = true): Buffer {
  const size = payload.length
  const head =
    size < 126
      ? Buffer.from([0, size])
      : size < 65_536
        ? Buffer.from([0, 126, size >> 8, size & 255])
        : Buffer.from([0, 127, 0, 0, 0, 0, size >>> 24, (size >> 16) & 255, (size >> 8) & 255, size & 255])
  head[0] = opcode | (isFinal ? 0x80 : 0)
  return Buffer.concat([head, payload])
}

function readPieces(bytes: Uint8Array, nextSize: () => number) {
  const messages: string[] = []
  const controls: [number, string][] = []
  let text = ''
  const reader = new FrameReader({
    onPayload: (piece, start, end, isLast) => {
      text += Buffer.from(piece.slice(start, end)).toString('latin1')
      if (!isLast) return
      messages.push(text)
      text = ''
    },
    onControl: (opcode, payload) => controls.push([opcode, Buffer.from(payload).toString('latin1')]),
  })
  let isOk = true
  for (let offset = 0; offset < bytes.length && isOk; ) {
    const size = Math.min(nextSize(), bytes.length - offset)
    isOk = reader.read(bytes, offset, offset + size)
    offset += size
  }
  return { messages, controls, isOk }
}

describe('WebSocket client', () => {
  const texts = ['', 'a', 'b'.repeat(125), 'c'.repeat(126), 'd'.repeat(65_535), 'e'.repeat(65_536)]

  test('reads frames of every length, fragments with control frames between, in pieces of any size', () => {
    const frames = texts.map((text) => serverFrame(WsOpcode.binary, Buffer.from(text)))
    frames.push(serverFrame(WsOpcode.text, Buffer.from('first '), false))
    frames.push(serverFrame(WsOpcode.ping, Buffer.from('still there?')))
    frames.push(serverFrame(WsOpcode.continuation, Buffer.from('second'), true))
    frames.push(serverFrame(WsOpcode.pong, Buffer.alloc(0)))
    const bytes = Buffer.concat(frames)
    const expected = {
      messages: [...texts, 'first second'],
      controls: [
        [WsOpcode.ping, 'still there?'],
        [WsOpcode.pong, ''],
      ],
      isOk: true,
    }
    expect(readPieces(bytes, () => 1)).toEqual(expected)
    expect(readPieces(bytes, () => bytes.length)).toEqual(expected)
    const seed = Date.now() % 1_000_000
    const prng = new Prng(seed)
    for (let round = 0; round < 50; round++) {
      expect(
        readPieces(bytes, () => prng.between(1, 5000)),
        `seed ${seed}`,
      ).toEqual(expected)
    }
  })

  test('refuses masked frames, reserved bits, and control frames that are long or in pieces', () => {
    const bad = [
      Buffer.from([0x82, 0x80, 0, 0, 0, 0]),
      Buffer.from([0xc2, 0x00]),
      serverFrame(WsOpcode.ping, Buffer.alloc(126)),
      serverFrame(WsOpcode.ping, Buffer.alloc(3), false),
    ]
    for (const bytes of bad) expect(readPieces(bytes, () => 1).isOk).toBe(false)
  })

  test('writes masked frames of every length', () => {
    for (const text of texts) {
      const frame = Buffer.from(frameOf(WsOpcode.binary, Buffer.from(text)))
      frame[1] &= 0x7f
      const maskAt = frame.length - text.length - 4
      expect(frame.subarray(maskAt, maskAt + 4)).toEqual(Buffer.alloc(4))
      const unmasked = Buffer.concat([frame.subarray(0, maskAt), frame.subarray(maskAt + 4)])
      expect(unmasked).toEqual(serverFrame(WsOpcode.binary, Buffer.from(text)))
    }
  })

  test('the handshake: accepted, incomplete, refused, answered wrongly, endless', () => {
    const { request, accept } = createHandshake('127.0.0.1:8083', '/mqtt', 'mqtt')
    expect(request).toMatch(/^GET \/mqtt HTTP\/1\.1\r\nHost: 127\.0\.0\.1:8083\r\n/)
    expect(request).toMatch(/Sec-WebSocket-Protocol: mqtt\r\n\r\n$/)
    const reply = `HTTP/1.1 101 Switching Protocols\r\nSEC-WEBSOCKET-ACCEPT: ${accept}\r\n\r\n`
    expect(readHandshake(Buffer.from(`${reply}rest`), accept)).toEqual({ end: reply.length, fault: null })
    expect(readHandshake(Buffer.from(reply.slice(0, -1)), accept)).toBeNull()
    expect(readHandshake(Buffer.from(reply), 'other')?.fault).toMatch(/Accept/)
    expect(readHandshake(Buffer.from('HTTP/1.1 404 Not Found\r\n\r\n'), accept)?.fault).toMatch(
      /404 Not Found/,
    )
    expect(readHandshake(Buffer.alloc(20_000, 'x'), accept)?.fault).toMatch(/endless/)
  })
})
