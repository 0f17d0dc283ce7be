/** The rows of blocks that the simulated store takes. */
import type { NativeBlock, NativeValue } from './native-reader.ts'
import { SimulationError } from './simulation-error.ts'

/** A row as a function from a column's name to its value. */
export type BlockRow = (column: string) => NativeValue

export function* rowsOf({ rowCount, columns }: NativeBlock): Generator<BlockRow> {
  for (let row = 0; row < rowCount; row++) {
    yield (name) => {
      const value = columns.get(name)?.[row]
      if (value === undefined) throw new SimulationError(`a block has no column ${name}`)
      return value
    }
  }
}

/** Stream, device and metric. */
export function seriesOf(row: BlockRow): string {
  return `${row('stream')} ${row('device')} ${row('metric')}`
}
