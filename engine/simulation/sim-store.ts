/**
 * ClickHouse as far as a shard sees it: takes a block once per token, outlives the engine, and fails as the dice and the
 * faults of the moment say: away, too many parts, a reply lost after the commit, a request that commits long after its
 * sender gave up, rows that it refuses.
 */
import type { Prng } from '../../base/prng.ts'
import { StoreError, type StoreTarget } from '../store/target.ts'
import { type NativeBlock, NativeReader } from './native-reader.ts'
import { SimWindows } from './sim-windows.ts'
import { SimulationError } from './simulation-error.ts'
import type { Trace } from './trace.ts'

export type StoreFault = 'away' | 'too-many-parts' | 'reply-lost' | 'late-commit'

interface Request {
  table: string
  block: Uint8Array
  /** As it was sent: the memory must not change until it settles. */
  sent: Buffer
  token: string
  resolve: () => void
  reject: (error: Error) => void
}

export interface Stored {
  table: string
  token: string
  bytes: Buffer
  block: NativeBlock
  epoch: number
}

/** An insert that comes again is taken again. */
const REMEMBERING_NO_TOKENS = new Set(['windows', 'points', 'amendments'])
const CHECK_CONSTRAINT_CODE = 469
const TOO_MANY_PARTS_CODE = 252

export class SimStore implements Pick<StoreTarget, 'insert'> {
  readonly blocks = new Map<string, Stored>()
  readonly windows = new SimWindows()
  /** How often the config has changed. */
  epoch = 0
  /** Of the last requests' fates, how likely each is while set. */
  fault: StoreFault | null = null
  /** Whether a row of `samples` or `rollups` is one that a constraint refuses. */
  isRefused: (table: string, value: number) => boolean = () => false
  #waiting: Request[] = []
  /** Requests whose sender knows nothing of them any more. */
  #late: Request[] = []
  #reader = new NativeReader()
  #trace: Trace

  constructor(trace: Trace) {
    this.#trace = trace
  }

  get waitingCount(): number {
    return this.#waiting.length
  }

  get lateCount(): number {
    return this.#late.length
  }

  insert(table: string, _columns: readonly string[], block: Uint8Array, token: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ table, block, sent: Buffer.from(block), token, resolve, reject })
    })
  }

  /** Answers one request. The answer's effects come with the next microtasks. */
  answer(prng: Prng): void {
    const [request] = this.#waiting.splice(prng.between(0, this.#waiting.length - 1), 1)
    const { fault } = this
    this.#trace.note('store', fault ?? 'takes', request.token)
    if (fault !== null) this.#trace.tally(fault)
    if (Buffer.compare(request.sent, request.block) !== 0)
      throw new SimulationError(`the bytes of ${request.token} changed while they were sent`)
    const error = this.#process(request, fault)
    if (error === null) request.resolve()
    else request.reject(error)
  }

  /** The engine is gone: what it had sent comes to nothing, or is committed later, and the answer reaches nobody. */
  forgetSender(prng: Prng): void {
    for (const request of this.#waiting.splice(0)) if (prng.unit() < 0.5) this.#late.push(request)
  }

  /** Commits one request whose sender has given it up. */
  commitLate(prng: Prng): void {
    if (this.#late.length === 0) return
    const [request] = this.#late.splice(prng.between(0, this.#late.length - 1), 1)
    this.#trace.note('store commits late', request.token)
    this.#commit(request)
  }

  /** What the sender is told; null when all went well. */
  #process(request: Request, fault: StoreFault | null): StoreError | null {
    if (fault === 'away') return unreachable()
    if (fault === 'too-many-parts') {
      return new StoreError('OVERLOADED', true, 'too many parts', TOO_MANY_PARTS_CODE)
    }
    if (fault === 'late-commit') {
      this.#late.push(request)
      return new StoreError('TIMEOUT', true, 'no answer in time')
    }
    return this.#commit(request) ?? (fault === 'reply-lost' ? unreachable() : null)
  }

  #commit({ table, sent, token }: Request): StoreError | null {
    const known = this.blocks.get(token)
    if (known !== undefined) {
      if (Buffer.compare(known.bytes, sent) !== 0)
        throw new SimulationError(`token ${token} came with other rows than before`)
      if (!REMEMBERING_NO_TOKENS.has(table)) return null
      this.windows.take(table, known.block, known.epoch)
      return null
    }
    const block = this.#reader.read(sent)
    if (this.#hasRefused(table, block)) {
      return new StoreError('ROW_REFUSED', false, 'a constraint', CHECK_CONSTRAINT_CODE)
    }
    const { epoch } = this
    this.blocks.set(token, { table, token, bytes: sent, block, epoch })
    this.windows.take(table, block, epoch)
    return null
  }

  #hasRefused(table: string, { columns }: NativeBlock): boolean {
    if (table !== 'samples' && table !== 'rollups') return false
    const values = columns.get(table === 'samples' ? 'value' : 'start')
    return values?.some((value) => this.isRefused(table, Number(value))) ?? false
  }
}

function unreachable(): StoreError {
  return new StoreError('UNREACHABLE', true, 'connection reset')
}
