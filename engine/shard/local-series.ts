/**
 * Series numbers of one operator set, dense from 0, for a set that sees only some of the shard's series: its state is then as
 * large as what it sees. Owned by the shard's thread. Series are never forgotten, as in the shard.
 */
import { assert } from '../../base/assert.ts'
import type { Stateful, StateReader, StateWriter } from '../../codecs/state.ts'
import { copied } from './typed-arrays.ts'

export class LocalSeries implements Stateful {
  count = 0
  /** The shard's number of each series here. */
  shardSeries: Int32Array = new Int32Array(1024)
  /** By the shard's number: the number here and one more, 0 for none. */
  #local: Int32Array = new Int32Array(1024)

  // hot: per reading of a set that does not see all
  find(series: number): number {
    const found = series < this.#local.length ? this.#local[series] : 0
    return found > 0 ? found - 1 : this.#add(series)
  }

  /** The first `count` numbers are the shard's own. */
  takeAll(count: number): void {
    for (let series = 0; series < count; series++) this.#add(series)
  }

  save(out: StateWriter): void {
    out.i32(this.shardSeries, this.count)
  }

  load(from: StateReader): void {
    for (const series of from.i32()) {
      assert(series >= 0, 'state has a series without a number')
      this.#add(series)
    }
  }

  #add(series: number): number {
    if (series >= this.#local.length) {
      this.#local = copied(this.#local, new Int32Array(Math.max(series + 1, this.#local.length * 2)))
    }
    if (this.count === this.shardSeries.length) {
      this.shardSeries = copied(this.shardSeries, new Int32Array(this.count * 2))
    }
    this.shardSeries[this.count] = series
    this.#local[series] = ++this.count
    return this.count - 1
  }
}
