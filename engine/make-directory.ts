import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'

/** One level at a time: Node's own recursion never ends where a level can never be made (`/proc/x`). */
export function makeDirectory(path: string): void {
  if (existsSync(path)) return
  makeDirectory(dirname(path))
  mkdirSync(path, { mode: 0o700 })
}
