/** What the data directory's journals are written under, as its engine has recorded it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { WindowConfig } from '../config.ts'
import { checkConfig } from '../config-check.ts'
import { type ConfigLayout, layoutOf, type StreamLayout } from '../config-layout.ts'
import { ConfigError } from '../config-value.ts'
import { AuditError } from './audit-error.ts'

export interface RecordedLayout {
  shards: number
  windows: WindowConfig
  config: ConfigLayout
}

/** Throws AuditError. */
export function recordedLayout(dataPath: string): RecordedLayout {
  const file = join(dataPath, 'millrace.json')
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const reason =
      code === 'ENOENT' || code === 'ENOTDIR' ? 'is no data directory' : `can't be read (${code})`
    throw new AuditError('NO_DATA', `${dataPath} ${reason}: name an engine's with --data DIR`, error)
  }
  try {
    const recorded = JSON.parse(text) as Partial<ConfigLayout> & { shards?: unknown }
    const { shards } = recorded
    const isWhole = typeof shards === 'number' && Number.isInteger(shards) && shards > 0 && shards <= 1024
    if (isWhole && recorded.windows !== undefined) {
      const config = configOf(recorded)
      return { shards, windows: config.windows, config }
    }
  } catch (error) {
    if (!(error instanceof ConfigError || error instanceof SyntaxError || error instanceof TypeError))
      throw error
  }
  throw new AuditError('NO_DATA', `${file} is not of this version of millrace: start its engine once`)
}

/** Of what is not recorded, the default. */
function configOf({ streams, windows, metricsPerDeviceMax }: Partial<ConfigLayout>): ConfigLayout {
  const names = streams?.map(({ name, topic }) => ({ name, topic }))
  const layout = layoutOf(checkConfig({ streams: names, windows, limits: { metricsPerDeviceMax } }))
  return {
    ...layout,
    streams: layout.streams.map((stream, index): StreamLayout => ({ ...stream, ...streams?.[index] })),
  }
}
