/**
 * One PUBLISH packet (or plain WebSocket frame) encoded once; each message is a copy of it with a few fields
 * patched in place. All fields have a fixed width, so every message of a run has the same size and the same
 * offsets. Immutable after construction; one per thread.
 */
import { generate } from 'mqtt-packet'
import {
  deviceName,
  metricName,
  SEQ_BASE,
  type TelemetryPlan,
  telemetryTsMs,
  valueThousandths,
} from './telemetry.ts'
import { frameHeadSize, WsOpcode, writeFrameHead } from './websocket-client.ts'

export type PayloadCodec = 'json' | 'msgpack'
export type Door = 'mqtt' | 'mqtt-ws' | 'ws'

export interface PublishFormat {
  door: Door
  codec: PayloadCodec
  qos: 0 | 1
  protocol: 4 | 5
}

const DUP_FLAG = 0x08
const TS_DIGITS = 13
const SEQ_DIGITS = 10
const VALUE_TEXT_BYTES = 6

/** Three digits of 0 .. 999 as ASCII, at 3 n. */
const THREE_DIGITS = new Uint8Array(3000)
for (let n = 0; n < 1000; n++) {
  for (let digit = 0; digit < 3; digit++)
    THREE_DIGITS[3 * n + digit] = 0x30 + (Math.floor(n / 10 ** (2 - digit)) % 10)
}

const float = new Float64Array(1)
const floatBytes = new Uint8Array(float.buffer)

export class PublishTemplate {
  /** The message with zeros in its fields. */
  readonly bytes: Uint8Array
  readonly plan: TelemetryPlan
  readonly format: PublishFormat
  /** Offsets into `bytes`; -1 where the format has no such field. */
  readonly #deviceAt: number
  readonly #idAt: number
  readonly #frameSeqAt: number
  readonly #tsAt: number
  readonly #seqAt: number
  readonly #valuesAt: Int32Array

  constructor(plan: TelemetryPlan, format: PublishFormat) {
    this.plan = plan
    this.format = format
    const payload = format.codec === 'json' ? jsonTemplate(plan.metrics) : msgpackTemplate(plan.metrics)
    if (format.door === 'ws') {
      const head = `{"seq":${SEQ_BASE},"data":`
      const frame = Buffer.from(`${head}${payload.bytes.toString('latin1')}}`, 'latin1')
      const headSize = frameHeadSize(frame.length)
      this.bytes = new Uint8Array(headSize + frame.length)
      writeFrameHead(this.bytes, 0, WsOpcode.text, frame.length)
      this.bytes.set(frame, headSize)
      this.#deviceAt = -1
      this.#idAt = -1
      this.#frameSeqAt = headSize + '{"seq":'.length
    } else {
      const topic = `devices/${deviceName(plan, 0)}/telemetry`
      const { qos, protocol } = format
      const common = { cmd: 'publish', topic, payload: payload.bytes, dup: false, retain: false } as const
      const packet = { ...common, qos, ...(qos ? { messageId: 1 } : {}) }
      this.bytes = generate(packet, { protocolVersion: protocol })
      const topicAt = Buffer.from(this.bytes).indexOf(topic)
      this.#deviceAt = topicAt + 'devices/'.length + plan.prefix.length
      this.#idAt = qos ? topicAt + topic.length : -1
      this.#frameSeqAt = -1
    }
    const tail = format.door === 'ws' ? 1 : 0
    const payloadAt = this.bytes.length - payload.bytes.length - tail
    this.#tsAt = payloadAt + payload.tsAt
    this.#seqAt = payloadAt + payload.seqAt
    this.#valuesAt = Int32Array.from(payload.valuesAt, (at) => payloadAt + at)
  }

  get sizeBytes(): number {
    return this.bytes.length
  }

  /**
   * Turns the copy of the template at `at` into the message `seq` of `device`. `packetId` counts with QoS 1
   * only.
   */
  // hot: per message
  patch(target: Uint8Array, at: number, device: number, seq: number, packetId: number, isDup: boolean): void {
    const plan = this.plan
    if (this.#deviceAt >= 0) {
      writeDigits(target, at + this.#deviceAt, plan.deviceDigits, device)
      if (this.#idAt >= 0) {
        target[at] = isDup ? this.bytes[0] | DUP_FLAG : this.bytes[0]
        target[at + this.#idAt] = packetId >> 8
        target[at + this.#idAt + 1] = packetId
      }
    } else {
      writeDigits(target, at + this.#frameSeqAt, SEQ_DIGITS, SEQ_BASE + seq)
    }
    const tsMs = telemetryTsMs(plan, seq)
    if (this.format.codec === 'json') {
      writeDigits(target, at + this.#tsAt, TS_DIGITS, tsMs)
      writeDigits(target, at + this.#seqAt, SEQ_DIGITS, SEQ_BASE + seq)
    } else {
      writeUint32(target, at + this.#tsAt, tsMs / 0x1_0000_0000)
      writeUint32(target, at + this.#tsAt + 4, tsMs)
      writeUint32(target, at + this.#seqAt, SEQ_BASE + seq)
    }
    this.#patchValues(target, at, device, seq)
  }

  // hot: per message
  #patchValues(target: Uint8Array, at: number, device: number, seq: number): void {
    const valuesAt = this.#valuesAt
    const seed = this.plan.seed
    const isJson = this.format.codec === 'json'
    for (let index = 0; index < valuesAt.length; index++) {
      const thousandths = valueThousandths(seed, device, seq, index + 1)
      const valueAt = at + valuesAt[index]
      if (isJson) {
        const whole = (thousandths / 1000) | 0
        target[valueAt] = 0x30 + ((whole / 10) | 0)
        target[valueAt + 1] = 0x30 + (whole % 10)
        const digits = 3 * (thousandths - whole * 1000)
        target[valueAt + 3] = THREE_DIGITS[digits]
        target[valueAt + 4] = THREE_DIGITS[digits + 1]
        target[valueAt + 5] = THREE_DIGITS[digits + 2]
      } else {
        float[0] = thousandths / 1000
        for (let byte = 0; byte < 8; byte++) target[valueAt + byte] = floatBytes[7 - byte]
      }
    }
  }
}

/** Decimal digits of a whole number, with zeros in front; at most 15. */
// hot: per message
function writeDigits(target: Uint8Array, at: number, count: number, number: number): void {
  let end = at + count
  let rest = number
  for (; end - 3 >= at; end -= 3) {
    const higher = Math.floor(rest / 1000)
    const digits = 3 * (rest - higher * 1000)
    target[end - 3] = THREE_DIGITS[digits]
    target[end - 2] = THREE_DIGITS[digits + 1]
    target[end - 1] = THREE_DIGITS[digits + 2]
    rest = higher
  }
  for (; end > at; end--) {
    const higher = Math.floor(rest / 10)
    target[end - 1] = 0x30 + (rest - higher * 10)
    rest = higher
  }
}

// hot: per message
function writeUint32(target: Uint8Array, at: number, number: number): void {
  const word = number >>> 0
  target[at] = word >>> 24
  target[at + 1] = word >>> 16
  target[at + 2] = word >>> 8
  target[at + 3] = word
}

interface PayloadTemplate {
  bytes: Buffer
  tsAt: number
  seqAt: number
  valuesAt: number[]
}

function jsonTemplate(metrics: number): PayloadTemplate {
  const valuesAt: number[] = []
  const tsAt = '{"ts":'.length
  let text = `{"ts":${'0'.repeat(TS_DIGITS)},"seq":`
  const seqAt = text.length
  text += '0'.repeat(SEQ_DIGITS)
  for (let metric = 1; metric < metrics; metric++) {
    text += `,"${metricName(metric)}":`
    valuesAt.push(text.length)
    text += '00.000'.padEnd(VALUE_TEXT_BYTES, '0')
  }
  return { bytes: Buffer.from(`${text}}`), tsAt, seqAt, valuesAt }
}

/** A map of `ts` as uint64, `seq` as uint32 and the values as float64. */
function msgpackTemplate(metrics: number): PayloadTemplate {
  const keys = metrics + 1
  const bytes = keys < 16 ? [0x80 | keys] : [0xde, keys >> 8, keys & 0xff]
  const valuesAt: number[] = []
  const field = (name: string, type: number, sizeBytes: number): number => {
    bytes.push(0xa0 | name.length, ...Buffer.from(name), type)
    return bytes.push(...new Array<number>(sizeBytes).fill(0)) - sizeBytes
  }
  const tsAt = field('ts', 0xcf, 8)
  const seqAt = field('seq', 0xce, 4)
  for (let metric = 1; metric < metrics; metric++) valuesAt.push(field(metricName(metric), 0xcb, 8))
  return { bytes: Buffer.from(bytes), tsAt, seqAt, valuesAt }
}
