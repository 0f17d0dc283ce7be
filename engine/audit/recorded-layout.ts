/** What the data directory's journals are written under, as its engine has recorded it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { WindowConfig } from '../config.ts'
import { checkConfig } from '../config-check.ts'
import { ConfigError } from '../config-value.ts'
import { AuditError } from './audit-error.ts'

export interface RecordedLayout {
  shards: number
  windows: WindowConfig
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
    const { shards, windows } = JSON.parse(text) as { shards?: unknown; windows?: unknown }
    const isWhole = typeof shards === 'number' && Number.isInteger(shards) && shards > 0 && shards <= 1024
    if (isWhole && windows !== undefined) return { shards, windows: checkConfig({ windows }).windows }
  } catch (error) {
    if (!(error instanceof ConfigError || error instanceof SyntaxError || error instanceof TypeError))
      throw error
  }
  throw new AuditError('NO_DATA', `${file} is not of this version of millrace: start its engine once`)
}
