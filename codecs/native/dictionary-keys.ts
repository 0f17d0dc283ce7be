/**
 * Numbers the entries of a dictionary that a block uses, by first appearance: a shard knows a million
 * devices, a block has some of them. One owner, like the block writer it serves. All marks are gone again
 * after each column.
 */

export class DictionaryKeys {
  /** From an entry of the caller's dictionary to its key in this block; -1 where it has none. */
  #keyOfEntry = new Int32Array(0)
  /** From a key to the entry it stands for; valid up to the count that `assign` returned. */
  entryOfKey = new Int32Array(0)
  /** Each row's key. */
  keyOfRow = new Int32Array(0)

  /** Fills `keyOfRow` and `entryOfKey` and returns how many keys there are. */
  assign(entryCount: number, indices: Int32Array, order: Int32Array | null, rowCount: number): number {
    if (this.#keyOfEntry.length < entryCount) this.#keyOfEntry = new Int32Array(entryCount * 2).fill(-1)
    if (this.keyOfRow.length < rowCount) {
      this.keyOfRow = new Int32Array(rowCount * 2)
      this.entryOfKey = new Int32Array(rowCount * 2)
    }
    const { entryOfKey, keyOfRow } = this
    const keyOfEntry = this.#keyOfEntry
    if (order === null) keyOfRow.set(indices.subarray(0, rowCount))
    else for (let row = 0; row < rowCount; row++) keyOfRow[row] = indices[order[row]]
    let keyCount = 0
    let lastEntry = -1
    let key = -1
    for (let row = 0; row < rowCount; row++) {
      const entry = keyOfRow[row]
      // Rows in the table's order come in runs of one device.
      if (entry !== lastEntry) {
        lastEntry = entry
        key = keyOfEntry[entry]
        if (key < 0) {
          key = keyCount++
          keyOfEntry[entry] = key
          entryOfKey[key] = entry
        }
      }
      keyOfRow[row] = key
    }
    for (let used = 0; used < keyCount; used++) keyOfEntry[entryOfKey[used]] = -1
    return keyCount
  }
}
