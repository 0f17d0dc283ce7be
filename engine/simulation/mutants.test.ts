import { describe, expect, test } from 'vitest'
import { type Mutation, simulateMutant } from './mutant.ts'
import { simulate } from './simulation.ts'

/** From its seed on each is caught at once today, from any other within some eighty runs. */
const RUNS_MAX = 400

/** Wrong engines: what each does, the one piece of text that makes it so, and a run that catches it. */
const MUTANTS: Record<string, Mutation & { seed: number }> = {
  'acknowledges what is appended and not yet durable': {
    seed: 7,
    file: 'engine/shard/journal-intake.ts',
    from: '    this.appendedMs = nowMs\n',
    to: '    this.appendedMs = nowMs\n    for (const { ring } of this.taken) ring.release(ring.position)\n',
  },
  'answers PUBREC before its message is durable': {
    seed: 2,
    file: 'engine/gateway/inbound-acks.ts',
    from: 'answerOf(PacketType.PUBREC, packetId, 0), lane)',
    to: 'answerOf(PacketType.PUBREC, packetId, 0), null)',
  },
  'sends a batch before its mark is durable': {
    seed: 10,
    file: 'engine/shard/open-batches.ts',
    from: "open.state = 'closing'\n    }\n",
    to: "open.state = 'closing'\n    }\n    this.#send()\n",
  },
  'sends a new token with each try': {
    seed: 2,
    file: 'engine/sink/sink.ts',
    from: 'part.block, part.token)',
    to: `part.block, part.token + '#' + this.retryCount)`,
  },
  'stores a redelivered message again': {
    seed: 2,
    file: 'engine/shard/redelivery.ts',
    from: '    return isDuplicate\n',
    to: '    return false\n',
  },
  'forgets half of what a client has in flight': {
    seed: 13,
    file: 'engine/shard/redelivery.ts',
    from: 'Math.ceil(inFlightMax / BLOCK_ENTRIES) + 1',
    to: 'Math.ceil(inFlightMax / BLOCK_ENTRIES)',
  },
  'starts from a snapshot whose batch is not confirmed': {
    seed: 2,
    file: 'engine/journal/snapshots.ts',
    from: 'snapshot !== null && snapshot.mark <= confirmed',
    to: 'snapshot !== null',
  },
  'does not write its downtime down': {
    seed: 10,
    file: 'engine/shard/journal-follower.ts',
    from: 'offset = writeControl(views, offset, RecordKind.GAP, this.#gapMs)',
    to: 'this.#parts.pipeline.operators.gap(this.#gapMs)',
  },
  'replays by its own clock': {
    seed: 2,
    file: 'engine/shard/journal-follower.ts',
    from: 'pipeline.tick(place.header.timeMs)',
    to: 'pipeline.tick(nowMs)',
  },
  'uses the last mark again after a start': {
    seed: 2,
    file: 'engine/journal/segment-recovery.ts',
    from: 'mark.number + 1)',
    to: 'mark.number)',
  },
  'takes a failed sync for a good one': {
    seed: 5,
    file: 'engine/shard/journal-intake.ts',
    from: '      if (error === null) {\n',
    to: '      if (error === null || error instanceof Error) {\n',
  },
  'trusts the page cache after a failed sync and a death': {
    seed: 18,
    file: 'engine/journal/segment-recovery.ts',
    from: '    segment.file.write([bytes], offset)\n',
    to: '',
  },
  'acknowledges by the ring of the first message alone': {
    seed: 2,
    file: 'engine/gateway/ack-queue.ts',
    from: '      if (lane !== NO_LANE && ((durable[lane] - ends[slot]) | 0) < 0) break\n',
    to: '',
  },
  'leaves windows as they were when readings come late': {
    seed: 8,
    file: 'operators/ordered-windows.ts',
    from: '    for (const operator of this.#operators) if (!isText || operator.takesTexts) operator.late(slot, ts, x)\n',
    to: '',
  },
  'leaves points as they were when readings come late': {
    seed: 8,
    file: 'operators/downsample/window-points.ts',
    from: '    this.#amendments.ask(slot, ts, ts)\n',
    to: '',
  },
  'takes back no point': {
    seed: 8,
    file: 'engine/shard/point-blocks.ts',
    from: 'isKind(PointKind.deleted)',
    to: 'isKind(PointKind.late)',
  },
  'ends lines without their ends': {
    seed: 10,
    file: 'operators/downsample/swinging-door.ts',
    from: '  release(slot: number): void {\n    this.#keepEnd(slot)\n',
    to: '  release(): void {\n',
  },
  'drops what another config leaves open': {
    seed: 3,
    file: 'engine/shard/stream-operators.ts',
    from: '      if (set.rowCount > 0) retired.push(set)\n',
    to: '',
  },
  'forgets at a restart what detectors know': {
    seed: 10,
    file: 'engine/shard/stream-detectors.ts',
    from: '      detector?.load(state)\n      assert(detector === undefined || state.isAtEnd',
    to: '      assert(state !== undefined',
  },
  'tells alerts before their mark is durable': {
    seed: 26,
    file: 'engine/shard/open-batches.ts',
    from: "    this.#open.push({ mark, startPosition, batch, state: 'sealed' })\n",
    to: "    this.#open.push({ mark, startPosition, batch, state: 'sealed' })\n    this.#alert(batch.alerts)\n",
  },
  'takes a split before it is written down': {
    seed: 7,
    file: 'engine/shard/open-batches.ts',
    from: 'while (this.#splits[0]?.isAppended)',
    to: 'while (this.#splits.length > 0)',
  },
}

describe('a mutant that', () => {
  test.each(Object.entries(MUTANTS))(
    '%s is caught',
    async (_, mutation) => {
      const { failure, exitCode, seed } = await simulateMutant([mutation], mutation.seed, RUNS_MAX)
      expect(failure).not.toBe('')
      expect(exitCode).toBe(1)
      expect((await simulate(seed)).failure).toBeNull() // that was the mutant's doing
    },
    600_000,
  )
})

/** Not wrong, only smaller: steps of megabytes, which runs of some kilobytes would never see the end of. */
const SMALL_STEPS: Mutation[] = [
  {
    file: 'engine/shard/snapshot-taker.ts',
    from: 'SNAPSHOT_SPACING = 2',
    to: 'SNAPSHOT_SPACING = 0',
  },
  {
    file: 'engine/journal/snapshots.ts',
    from: 'SLICE_SIZE_BYTES_MAX = 512 << 10',
    to: 'SLICE_SIZE_BYTES_MAX = 700',
  },
  {
    file: 'engine/shard/journal-follower.ts',
    from: 'CATCH_UP_SIZE_BYTES_MAX = 256 << 10',
    to: 'CATCH_UP_SIZE_BYTES_MAX = 500',
  },
  {
    file: 'engine/shard/journal-intake.ts',
    from: 'APPEND_SIZE_BYTES_MAX = 512 << 10',
    to: 'APPEND_SIZE_BYTES_MAX = 1000',
  },
  {
    file: 'engine/shard/block-builder.ts',
    from: 'ROWS_AT_ONCE_MAX = 8192',
    to: 'ROWS_AT_ONCE_MAX = 0',
  },
  {
    file: 'codecs/native/block-writer.ts',
    from: 'TAKEN_SIZE_BYTES_MIN = 1 << 16',
    to: 'TAKEN_SIZE_BYTES_MIN = 1',
  },
  {
    file: 'engine/shard/slices.ts',
    from: 'SLICE_ROWS_MAX = 65_536',
    to: 'SLICE_ROWS_MAX = 3',
  },
]

test('an engine that does little at a time keeps all promises', async () => {
  expect(await simulateMutant(SMALL_STEPS, 1, 20)).toEqual({ failure: '', exitCode: 0, seed: 0 })
}, 600_000)
