/** For tests: a test that names the normative statements which it shows, by version; statements.test.ts looks for the names. */
import { test } from 'vitest'
import type { Version } from './peer.ts'

/** Numbers of statements, as `3.1.0-1 3.1.2-3`, in the version where they hold. */
export interface Shown {
  v4?: string
  v5?: string
}

/** One test for each version that `shown` names. */
export function shows(what: string, shown: Shown, run: (version: Version) => Promise<void>): void {
  if (shown.v4 !== undefined) test(`3.1.1: ${what} [${shown.v4}]`, () => run(4))
  if (shown.v5 !== undefined) test(`5.0: ${what} [${shown.v5}]`, () => run(5))
}
