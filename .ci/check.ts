/**
 * `npm run check`: the static checks, one after the other; a line for each with its seconds, and the output of those that
 * fail. All of them run. Exit code 1 when one fails.
 */
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'

const root = dirname(import.meta.dirname)
const bin = (name: string): string => join(root, 'node_modules', '.bin', name)
const syntax = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', '.ci/syntax.ts']

const CHECKS: readonly { name: string; program: string; args: readonly string[] }[] = [
  { name: 'types (tsc)', program: bin('tsc'), args: ['-p', '.'] },
  { name: 'lint and format (biome)', program: bin('biome'), args: ['ci', '.', '--max-diagnostics=200'] },
  { name: 'unused code (knip)', program: bin('knip'), args: ['--no-progress'] },
  { name: 'syntax (node)', program: process.execPath, args: syntax },
]

let failedCount = 0
for (const { name, program, args } of CHECKS) {
  const startMs = performance.now()
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd: root, encoding: 'utf8' })
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1)
  console.log(`${status === 0 ? 'ok  ' : 'FAIL'} ${name} ${seconds} s`)
  if (status === 0) continue
  failedCount++
  console.log(error === undefined ? `${stdout}${stderr}` : `cannot run ${program}: ${error.message}`)
}
process.exitCode = failedCount === 0 ? 0 : 1
