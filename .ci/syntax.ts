/**
 * What `node --check` says of every source, in one process instead of one each: Node strips the types, then its engine
 * parses the rest, so that enums, `using`, decorators and other syntax that only the test runner's compiler knows is
 * found. Needs --experimental-vm-modules.
 */
import { globSync, readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join } from 'node:path'
import { SourceTextModule } from 'node:vm'

/** What is wrong with the source, or an empty string. */
function faultOf(path: string, source: string): string {
  try {
    new SourceTextModule(path.endsWith('.ts') ? stripTypeScriptTypes(source) : source, { identifier: path })
    return ''
  } catch (error) {
    return `${path}: ${error instanceof Error ? error.message : String(error)}`
  }
}

const root = dirname(import.meta.dirname)
const isForeign = (name: string): boolean => name === 'node_modules'
const paths = globSync(['*.{ts,mjs}', '{.ci,[a-z]*}/**/*.{ts,mjs}'], { cwd: root, exclude: isForeign })
const seeded = { enum: 'enum A { B }', using: 'using a = b', decorator: '@a class B {}', nothing: 'let = ;' }
const missed = Object.keys(seeded).filter(
  (name) => faultOf('x.ts', seeded[name as keyof typeof seeded]) === '',
)
const faults = paths
  .map((path) => faultOf(path, readFileSync(join(root, path), 'utf8')))
  .filter((fault) => fault !== '')
for (const fault of faults) console.error(fault)
if (missed.length > 0) console.error(`this check itself fails: it accepts ${missed.join(', ')}`)
if (paths.length === 0) console.error('no sources found')
process.exitCode = faults.length + missed.length > 0 || paths.length === 0 ? 1 : 0
