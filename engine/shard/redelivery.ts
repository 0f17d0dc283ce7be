/**
 * Tells messages that a client sends again after a lost connection from new ones. Owned by the shard's thread; part of
 * its snapshot.
 *
 * For each client the last messages are kept, identifier and hash of the payload: at least as many as it may have in
 * flight, at most 64 more. A PUBLISH with DUP is a duplicate when the newest entry with its identifier is of an earlier
 * connection and has its hash; a WebSocket frame when an earlier connection of its session sent the same `seq` and
 * payload. Two equal readings that a device sent as two messages both stay. What remains ambiguous: a client that uses
 * an identifier again for an equal payload, sets DUP, and never got the first PUBACK, has sent two and one is counted.
 * With QoS 2 the client says when it is through: a released entry makes no duplicate any more.
 *
 * A duplicate makes no entry, so that however often a client tries, what it has in flight is kept. Messages that came by
 * another gateway may be overtaken by their own redelivery, while a shard takes nothing: a straggler, of an older
 * connection than the client's present one, is a duplicate with or without DUP.
 *
 * Entries lie in blocks of 64, which a client has in a circle: the current one is filled, the next one is the oldest.
 */
import type { StateReader, StateWriter } from '../../codecs/state.ts'
import { copied } from './typed-arrays.ts'

const BLOCK_ENTRIES = 64
const BLOCK_COUNT_MIN = 64
/** In the lowest bits of an entry's hash: it is of an older connection than its neighbours; its client has released it. */
const STRAGGLER = 1
const RELEASED = 2
const FLAGS = STRAGGLER | RELEASED
/** Numbers of connections in one life of the engine; above them stands which life it is. */
const LIFE_CONNECTIONS = 2 ** 32

export class Redelivery {
  readonly #blocksPerClientMax: number
  readonly #blockCountMax: number
  #clientCount = 0
  #slots: Int32Array = new Int32Array(256).fill(-1)
  #key: Int32Array = new Int32Array(128)
  /** Number of the connection that the client's last message came by. */
  #connection: Float64Array = new Float64Array(128)
  /** Of all messages of the client, and of those before its present connection. */
  #entryCount: Float64Array = new Float64Array(128)
  #earlierCount: Float64Array = new Float64Array(128)
  #currentBlock: Int32Array = new Int32Array(128)
  #clientBlocks: Int32Array = new Int32Array(128)
  #blockCount = 0
  #nextBlock: Int32Array = new Int32Array(BLOCK_COUNT_MIN)
  #ids: Uint16Array = new Uint16Array(BLOCK_COUNT_MIN * BLOCK_ENTRIES)
  #hashes: Int32Array = new Int32Array(BLOCK_COUNT_MIN * BLOCK_ENTRIES)
  /** Of the entry that `#findNewest` has found: its place among all that the client has had. */
  #foundIndex = 0

  /** `inFlightMax`: how many unacknowledged messages a client may have; `entriesMax`: entries of all clients together. */
  constructor(inFlightMax: number, entriesMax = 1 << 24) {
    this.#blocksPerClientMax = Math.ceil(inFlightMax / BLOCK_ENTRIES) + 1
    this.#blockCountMax = Math.max(1, Math.floor(entriesMax / BLOCK_ENTRIES))
  }

  /** Notes a message of QoS 1 or 2, and says whether it is one that an earlier connection of the client brought. */
  // hot: per message
  isDuplicatePublish(
    clientHash: number,
    connection: number,
    id: number,
    isDup: boolean,
    hash: number,
  ): boolean {
    const client = this.#find(clientHash | 0)
    if (client < 0) return false
    const isPresent = this.#connection[client] === connection
    const isStraggler = !isPresent && isOlder(connection, this.#connection[client])
    if (!isPresent && !isStraggler) {
      this.#connection[client] = connection
      this.#earlierCount[client] = this.#entryCount[client]
    }
    const earlierCount = (isStraggler ? this.#entryCount : this.#earlierCount)[client]
    const isDuplicate =
      (isDup || isStraggler) && this.#hasEarlier(client, id, hash, earlierCount, isStraggler)
    if (!isDuplicate) this.#push(client, id, (hash & ~FLAGS) | (isStraggler ? STRAGGLER : 0))
    return isDuplicate
  }

  /** The client has released a message of QoS 2: what it sends under that identifier is new from now on. */
  // hot: per message of QoS 2
  release(clientHash: number, connection: number, id: number): void {
    const client = this.#slots[this.#slotOf(clientHash | 0)]
    // An older connection's word may be about an identifier that was used again since.
    if (client < 0 || isOlder(connection, this.#connection[client])) return
    const entry = this.#findNewest(client, id)
    if (entry >= 0) this.#hashes[entry] |= RELEASED
  }

  /** The same for a frame of a WebSocket session; within a connection `seq` only grows. */
  // hot: per message
  isDuplicateFrame(sessionHash: number, seq: number, hash: number): boolean {
    const client = this.#find(~sessionHash)
    if (client < 0) return false
    const id = seq & 0xffff
    const mixed = (hash ^ Math.imul(Math.floor(seq / 0x1_0000), 0x9e3779b1)) | 0
    if (this.#hasEarlier(client, id, mixed, this.#entryCount[client], false)) return true
    this.#push(client, id, mixed & ~FLAGS)
    return false
  }

  save(out: StateWriter): void {
    out.numbers(this.#clientCount, this.#blockCount)
    for (const array of [this.#key, this.#currentBlock, this.#clientBlocks]) out.i32(array, this.#clientCount)
    for (const array of [this.#connection, this.#entryCount, this.#earlierCount])
      out.f64(array, this.#clientCount)
    out.i32(this.#nextBlock, this.#blockCount)
    out.u16(this.#ids, this.#blockCount * BLOCK_ENTRIES)
    out.i32(this.#hashes, this.#blockCount * BLOCK_ENTRIES)
  }

  load(from: StateReader): void {
    const [clientCount, blockCount] = from.numbers(2)
    this.#clientCount = clientCount
    this.#blockCount = blockCount
    const clients = Math.max(128, clientCount)
    const blocks = Math.max(BLOCK_COUNT_MIN, blockCount)
    this.#key = copied(from.i32(), new Int32Array(clients))
    this.#currentBlock = copied(from.i32(), new Int32Array(clients))
    this.#clientBlocks = copied(from.i32(), new Int32Array(clients))
    this.#connection = copied(from.f64(), new Float64Array(clients))
    this.#entryCount = copied(from.f64(), new Float64Array(clients))
    this.#earlierCount = copied(from.f64(), new Float64Array(clients))
    this.#nextBlock = copied(from.i32(), new Int32Array(blocks))
    this.#ids = copied(from.u16(), new Uint16Array(blocks * BLOCK_ENTRIES))
    this.#hashes = copied(from.i32(), new Int32Array(blocks * BLOCK_ENTRIES))
    this.#rehash(256)
  }

  /**
   * Whether the newest entry with that identifier has that hash, and is one of the first `earlierCount` or a straggler. A
   * released one only tells a straggler that it was overtaken.
   */
  #hasEarlier(client: number, id: number, hash: number, earlierCount: number, isStraggler: boolean): boolean {
    const entry = this.#findNewest(client, id)
    if (entry < 0) return false
    const kept = this.#hashes[entry]
    if (((kept ^ hash) & ~FLAGS) !== 0 || ((kept & RELEASED) !== 0 && !isStraggler)) return false
    return this.#foundIndex < earlierCount || (kept & STRAGGLER) !== 0
  }

  /** The client's newest entry with that identifier; -1 when there is none. */
  #findNewest(client: number, id: number): number {
    const ids = this.#ids
    const current = this.#currentBlock[client]
    const filled = this.#filled(client)
    let index = this.#entryCount[client] - (this.#clientBlocks[client] - 1) * BLOCK_ENTRIES - filled
    let found = -1
    for (let block = this.#nextBlock[current]; ; block = this.#nextBlock[block]) {
      const end = block * BLOCK_ENTRIES + (block === current ? filled : BLOCK_ENTRIES)
      for (let entry = block * BLOCK_ENTRIES; entry < end; entry++, index++) {
        if (ids[entry] !== id) continue
        found = entry
        this.#foundIndex = index
      }
      if (block === current) break
    }
    return found
  }

  /** How many entries the client's current block has. */
  #filled(client: number): number {
    const count = this.#entryCount[client]
    return count === 0 ? 0 : ((count - 1) % BLOCK_ENTRIES) + 1
  }

  #push(client: number, id: number, hash: number): void {
    let filled = this.#filled(client)
    if (filled === BLOCK_ENTRIES) {
      this.#advance(client)
      filled = 0
    }
    const entry = this.#currentBlock[client] * BLOCK_ENTRIES + filled
    this.#ids[entry] = id
    this.#hashes[entry] = hash
    this.#entryCount[client]++
  }

  /** To a new block while the client may have one, else to its oldest, whose entries are forgotten. */
  #advance(client: number): void {
    const current = this.#currentBlock[client]
    const isGrowing =
      this.#clientBlocks[client] < this.#blocksPerClientMax && this.#blockCount < this.#blockCountMax
    if (isGrowing) {
      const block = this.#addBlock()
      this.#nextBlock[block] = this.#nextBlock[current]
      this.#nextBlock[current] = block
      this.#clientBlocks[client]++
    }
    this.#currentBlock[client] = this.#nextBlock[current]
  }

  #addBlock(): number {
    const block = this.#blockCount++
    if (block === this.#nextBlock.length) {
      this.#nextBlock = copied(this.#nextBlock, new Int32Array(block * 2))
      this.#ids = copied(this.#ids, new Uint16Array(block * 2 * BLOCK_ENTRIES))
      this.#hashes = copied(this.#hashes, new Int32Array(block * 2 * BLOCK_ENTRIES))
    }
    return block
  }

  /** The client's index, a new one if need be; -1 when there is no room, and then its messages are never duplicates. */
  #find(key: number): number {
    const slot = this.#slotOf(key)
    const client = this.#slots[slot]
    if (client >= 0) return client
    if (this.#blockCount >= this.#blockCountMax) return -1
    return this.#addClient(slot, key)
  }

  /** Where the client stands in the table, or would. */
  #slotOf(key: number): number {
    const mask = this.#slots.length - 1
    let slot = mixed(key) & mask
    for (let client = this.#slots[slot]; client >= 0; client = this.#slots[slot]) {
      if (this.#key[client] === key) break
      slot = (slot + 1) & mask
    }
    return slot
  }

  #addClient(slot: number, key: number): number {
    const client = this.#clientCount++
    if (client === this.#key.length) this.#growClients()
    const block = this.#addBlock()
    this.#nextBlock[block] = block
    this.#key[client] = key
    this.#currentBlock[client] = block
    this.#clientBlocks[client] = 1
    this.#slots[slot] = client
    if (this.#clientCount * 2 > this.#slots.length) this.#rehash(this.#slots.length * 2)
    return client
  }

  #growClients(): void {
    const capacity = this.#key.length * 2
    this.#key = copied(this.#key, new Int32Array(capacity))
    this.#currentBlock = copied(this.#currentBlock, new Int32Array(capacity))
    this.#clientBlocks = copied(this.#clientBlocks, new Int32Array(capacity))
    this.#connection = copied(this.#connection, new Float64Array(capacity))
    this.#entryCount = copied(this.#entryCount, new Float64Array(capacity))
    this.#earlierCount = copied(this.#earlierCount, new Float64Array(capacity))
  }

  #rehash(sizeMin: number): void {
    let size = sizeMin
    while (this.#clientCount * 2 > size) size *= 2
    this.#slots = new Int32Array(size).fill(-1)
    for (let client = 0; client < this.#clientCount; client++) {
      let slot = mixed(this.#key[client]) & (size - 1)
      while (this.#slots[slot] >= 0) slot = (slot + 1) & (size - 1)
      this.#slots[slot] = client
    }
  }
}

function mixed(key: number): number {
  const product = Math.imul(key, 0x9e3779b1)
  return product ^ (product >>> 15)
}

/** Whether a connection of the same life of the engine is the older one. */
function isOlder(connection: number, other: number): boolean {
  const life = Math.floor(connection / LIFE_CONNECTIONS)
  return life > 0 && life === Math.floor(other / LIFE_CONNECTIONS) && ((connection - other) | 0) < 0
}
