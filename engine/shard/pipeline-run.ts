/**
 * For tests: messages through a pipeline with a config, in batches, and what the tables hold of it, read back from the blocks;
 * in place of ClickHouse the simulation's.
 */
import { StateReader, StateWriter } from '../../codecs/state.ts'
import type { MillraceConfig, MillraceOptions } from '../config.ts'
import { checkConfig } from '../config-check.ts'
import { NativeReader, type NativeValue } from '../simulation/native-reader.ts'
import { downsamplersOf, operatorsOf } from '../simulation/sim-pipelines.ts'
import { SimWindows } from '../simulation/sim-windows.ts'
import { judgePoints } from '../simulation/verdict-points.ts'
import { judgeRollups, judgeVersions } from '../simulation/verdict-windows.ts'
import { ARRIVAL_MS, pipelineOf, send } from '../steps/step-fixture.ts'
import { BlockBuilder } from './block-builder.ts'
import type { Pipeline } from './pipeline.ts'
import { runSlices } from './slices.ts'

export type TableRow = Record<string, NativeValue>

export class PipelineRun {
  pipeline: Pipeline
  readonly windows = new SimWindows()
  /** All rows of all batches, by table, in the order of their blocks. */
  readonly tables: Record<string, TableRow[]> = {}
  arrivalMs = ARRIVAL_MS
  #options: MillraceOptions
  #configs: MillraceConfig[] = []
  #builder: BlockBuilder
  #reader = new NativeReader()
  #mark = 0

  constructor(options: MillraceOptions) {
    this.#options = options
    this.#configs.push(checkConfig(options))
    this.pipeline = pipelineOf(options)
    this.#builder = this.#makeBuilder()
  }

  /** A message on `devices/DEVICE/telemetry`. */
  send(device: string, payload: unknown): void {
    send(this.pipeline, `devices/${device}/telemetry`, payload, { arrivalMs: this.arrivalMs })
  }

  /** The journal's time goes on. */
  pass(durationMs: number): void {
    this.arrivalMs += durationMs
    this.pipeline.tick(this.arrivalMs)
  }

  /** Ends a batch. */
  seal(): void {
    const { parts } = runSlices(this.#builder.build(++this.#mark))
    for (const { table, block: bytes } of parts) {
      const block = this.#reader.read(bytes)
      this.windows.take(table, block, this.#configs.length - 1)
      const rows = Array.from({ length: block.rowCount }, (_, row) =>
        Object.fromEntries([...block.columns].map(([name, values]) => [name, values[row]])),
      )
      const epoch = this.#configs.length - 1
      this.tables[table] = [...(this.tables[table] ?? []), ...rows.map((row) => ({ ...row, epoch }))]
    }
    this.pipeline.clearRows()
  }

  /** Ends the batch, and goes on with the saved state, under another config if there is one. */
  restart(options?: MillraceOptions): void {
    this.seal()
    const state = stateOf(this.pipeline)
    if (options !== undefined) this.#configs.push(checkConfig(options))
    this.#options = options ?? this.#options
    this.pipeline = pipelineOf(this.#options)
    this.pipeline.load(new StateReader(state))
    this.#builder = this.#makeBuilder()
  }

  /** Closes all windows, and ends the last batch. */
  end(): void {
    this.pipeline.flush()
    this.seal()
  }

  /** Throws unless windows and points are those of all samples, and the books balance. */
  judge(): void {
    const operators = {
      epochCount: this.#configs.length,
      isStateKept: true,
      of: (epoch: number, stream: string, metric: string) =>
        operatorsOf(this.#configs[epoch], stream, metric),
    }
    judgeRollups(this.tables.samples ?? [], this.tables.rollups ?? [], this.windows, operators)
    judgeVersions(this.windows, operators)
    judgePoints(this.windows, {
      epochCount: this.#configs.length,
      of: (epoch, stream, metric) => downsamplersOf(this.#configs[epoch], stream, metric),
    })
    this.#judgeBooks()
  }

  /** What the ledger says in all of a column. */
  sum(column: string): number {
    return (this.tables.ledger ?? []).reduce((sum, row) => sum + Number(row[column]), 0)
  }

  #judgeBooks(): void {
    const [accepted, stored, filtered, dead] = ['accepted', 'stored', 'filtered', 'dead_lettered'].map(
      (column) => this.sum(column),
    )
    const sampleCount = this.tables.samples?.length ?? 0
    const letterCount = this.tables.dead_letters?.length ?? 0
    if (accepted !== stored + filtered + dead || stored !== sampleCount || dead !== letterCount)
      throw new Error(`${accepted} accepted, ${stored} stored, ${filtered} filtered, ${dead} dead-lettered`)
  }

  #makeBuilder(): BlockBuilder {
    const streams = this.#configs[this.#configs.length - 1].streams.map(({ name }) => name)
    return new BlockBuilder({ storeId: new Uint8Array(16), shard: 0, streams }, this.pipeline)
  }
}

function stateOf(pipeline: Pipeline): Uint8Array {
  const writer = new StateWriter()
  pipeline.save(writer)
  const bytes = new Uint8Array(writer.sizeBytes)
  let offset = 0
  for (const part of writer.parts) {
    bytes.set(part, offset)
    offset += part.length
  }
  return bytes
}
