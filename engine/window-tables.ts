/** The tables that a window operator's rows go to. */
import { rollupAggregates, type WindowSpec, windowAggregates } from '../operators/window-spec.ts'

export type WindowTable = 'rollups' | 'windows'

/** The view in which analysts read a table's rows. */
export const VIEWS: Readonly<Record<WindowTable, string>> = {
  rollups: 'rollups_merged',
  windows: 'windows_latest',
}

export function tablesOf(spec: WindowSpec): WindowTable[] {
  const tables: WindowTable[] = []
  if (rollupAggregates(spec).length > 0) tables.push('rollups')
  if (windowAggregates(spec).length > 0) tables.push('windows')
  return tables
}
