/**
 * Numbers the entries of a dictionary that a block uses, by first appearance: a shard knows a million devices, a block
 * has some of them. One owner, like the block writer it serves. All marks are gone again after each column.
 */

export type KeyArray = Uint8Array | Uint16Array | Int32Array

export class DictionaryKeys {
  /** From an entry of the caller's dictionary to its key in this block; -1 where it has none. */
  #keyOfEntry = new Int32Array(0)
  /** From a key to the entry it stands for; valid up to the count that `assign` returned. */
  entryOfKey = new Int32Array(0)

  /** Writes each row's key to `keys` and returns how many keys there are. */
  assign(
    keys: KeyArray,
    entryCount: number,
    indices: Int32Array,
    order: Int32Array | null,
    rowCount: number,
  ): number {
    if (this.#keyOfEntry.length < entryCount) this.#keyOfEntry = new Int32Array(entryCount * 2).fill(-1)
    if (this.entryOfKey.length < rowCount) this.entryOfKey = new Int32Array(rowCount * 2)
    const keyOfEntry = this.#keyOfEntry
    const entryOfKey = this.entryOfKey
    let keyCount = 0
    for (let row = 0; row < rowCount; row++) {
      const entry = indices[order === null ? row : order[row]]
      let key = keyOfEntry[entry]
      if (key < 0) {
        key = keyCount++
        keyOfEntry[entry] = key
        entryOfKey[key] = entry
      }
      keys[row] = key
    }
    for (let key = 0; key < keyCount; key++) keyOfEntry[entryOfKey[key]] = -1
    return keyCount
  }
}
