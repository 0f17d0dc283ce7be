/**
 * From a spec to the operator that does it.
 */

import { makeSpans } from './carried-spans.ts'
import { CarriedWindows } from './carried-windows.ts'
import { CountWindows } from './count-windows.ts'
import type { OrderedMemory } from './ordered-memory.ts'
import { type OrderedOperator, type OrderedOutput, wantsOf } from './ordered-operator.ts'
import { SessionWindows } from './session-windows.ts'
import { SlidingWindows } from './sliding-windows.ts'
import { type WindowSpec, windowAggregates } from './window-spec.ts'

export function makeOperator(
  spec: WindowSpec,
  index: number,
  output: OrderedOutput,
  memory: OrderedMemory,
): OrderedOperator {
  const wants = wantsOf(windowAggregates(spec))
  switch (spec.kind) {
    case 'session':
      return new SessionWindows(spec.gapMs, wants, index, output, memory)
    case 'count':
      return new CountWindows(spec.size, wants, index, output, memory)
    case 'sliding':
      return new SlidingWindows(spec.widthMs, wants, index, output, memory)
    case 'tumbling':
    case 'hopping':
    case 'calendar':
      return new CarriedWindows(makeSpans(spec), wants, index, output, memory)
  }
}
