/**
 * The arrows between folders (ARCHITECTURE.md): base <- codecs <- operators <- engine; base, codecs <- loadgen; bench may
 * import all. Over every TypeScript file of the tree: arrows, cycles between files, `.ts` endings, barrel files. A file
 * named by `new URL('./x.ts', import.meta.url)` counts as imported, except for cycles: a worker may point at its parent.
 */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { describe, expect, test } from 'vitest'

const ALLOWED: Record<string, readonly string[]> = {
  base: [],
  codecs: ['base'],
  operators: ['base', 'codecs'],
  engine: ['base', 'codecs', 'operators'],
  loadgen: ['base', 'codecs'],
  bench: ['base', 'codecs', 'operators', 'engine', 'loadgen'],
  console: [],
  docker: [],
  '.ci': ['base'],
}

/** A program, which anyone may run. */
const CLI = 'engine/cli.ts'
/** What of the engine may start the load generator: `millrace load` and the demo are subcommands. */
const COMMAND = /^engine\/cli(\.ts$|\/[^/]+-command\.ts$)/

interface Reference {
  target: string
  /** Named by URL: another thread or process loads it. */
  isUrl: boolean
}

/** Words, strings and signs of a source, without comments; a template or a regular expression is one token. */
function tokensOf(source: string): string[] {
  const comment = '//[^\\n]*|/\\*[^]*?\\*/'
  const text = '`(?:\\\\[^]|[^`\\\\])*`|\'(?:\\\\.|[^\'\\\\\\n])*\'|"(?:\\\\.|[^"\\\\\\n])*"'
  const pattern = '(?<=[(,=:[!&|?{};\\n]\\s*)/(?:\\\\.|\\[(?:\\\\.|[^\\]\\\\\\n])*\\]|[^/\\\\\\n[])+/[a-z]*'
  const found = source.match(new RegExp(`${comment}|${text}|${pattern}|[\\w$]+|[^\\s\\w]`, 'g')) ?? []
  return found.filter((token) => !token.startsWith('//') && !token.startsWith('/*'))
}

function referencesOf(tokens: readonly string[]): Reference[] {
  const references: Reference[] = []
  tokens.forEach((token, i) => {
    if (!/^['"`]./.test(token)) return
    const isOpened = tokens[i - 1] === '('
    const isImport =
      tokens[i - 1] === 'from' || tokens[i - 1] === 'import' || (isOpened && tokens[i - 2] === 'import')
    const isUrl =
      isOpened && (tokens[i - 2] === 'URL' || tokens[i - 2] === 'resolve') && token.includes('.ts')
    if (isImport || isUrl) references.push({ target: token.slice(1, -1), isUrl })
  })
  return references
}

/** Whether a file passes everything of another on, or does nothing but pass names on. */
function isBarrel(tokens: readonly string[]): boolean {
  const passesAll = (token: string, i: number): boolean => {
    const next = tokens[i + 1] === 'type' ? tokens[i + 2] : tokens[i + 1]
    return token === 'export' && next === '*'
  }
  const rest = tokens.join(' ').replace(/export (type )?\{[^}]*\} from ('[^']*'|"[^"]*") ?;?/g, '')
  return tokens.some(passesAll) || (tokens.length > 0 && rest.trim() === '')
}

function folderOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : ''
}

function isAllowed(from: string, to: string, isUrl: boolean): boolean {
  const [source, target] = [folderOf(from), folderOf(to)]
  if (source === target || source === '') return true
  if (isUrl && to === CLI) return true
  if (COMMAND.test(from) && target === 'loadgen') return true
  return ALLOWED[source]?.includes(target) ?? false
}

/** Everything that is wrong with the sources (path from the root, text), a line each. */
function faultsOf(sources: ReadonlyMap<string, string>): string[] {
  const faults: string[] = []
  const imports = new Map<string, string[]>()
  for (const [path, source] of sources) {
    const tokens = tokensOf(source)
    const targets: string[] = []
    if (folderOf(path) !== '' && !(folderOf(path) in ALLOWED)) faults.push(`${path}: a folder without arrows`)
    if (isBarrel(tokens)) faults.push(`${path}: a barrel file`)
    for (const { target, isUrl } of referencesOf(tokens)) {
      if (!target.startsWith('.')) continue
      const resolved = posix.join(posix.dirname(path), target)
      if (!/\.(ts|json)$/.test(target)) faults.push(`${path}: ${target} does not end in .ts`)
      if (!isAllowed(path, resolved, isUrl)) faults.push(`${path} must not import ${resolved}`)
      if (!isUrl) targets.push(resolved)
    }
    imports.set(path, targets)
  }
  return [...faults, ...cyclesOf(imports)]
}

/** One line for each import that closes a cycle. */
function cyclesOf(imports: ReadonlyMap<string, readonly string[]>): string[] {
  const cycles: string[] = []
  const done = new Set<string>()
  const trail: string[] = []
  const visit = (path: string): void => {
    if (trail.includes(path))
      cycles.push(`a cycle: ${[...trail.slice(trail.indexOf(path)), path].join(' > ')}`)
    if (trail.includes(path) || done.has(path)) return
    trail.push(path)
    for (const target of imports.get(path) ?? []) visit(target)
    trail.pop()
    done.add(path)
  }
  for (const path of imports.keys()) visit(path)
  return cycles
}

function treeOf(root: string): Map<string, string> {
  const paths = globSync(['*.ts', '{.ci,[a-z]*}/**/*.ts'], {
    cwd: root,
    exclude: (name) => name === 'node_modules',
  })
  return new Map(paths.map((path) => [path.replaceAll('\\', '/'), readFileSync(join(root, path), 'utf8')]))
}

test('the tree keeps the arrows', () => {
  const tree = treeOf(dirname(import.meta.dirname))
  expect([...tree.keys()]).toEqual(
    expect.arrayContaining(['base/hash.ts', 'vitest.config.ts', 'codecs/columns.ts']),
  )
  expect(faultsOf(tree)).toEqual([])
})

describe('the checker', () => {
  const faults = (files: Record<string, string>): string[] => faultsOf(new Map(Object.entries(files)))

  test.each([
    ['base/a.ts', "import { x } from '../codecs/b.ts'", 'codecs/b.ts'],
    ['codecs/a.ts', "import type { X } from '../operators/b.ts'", 'operators/b.ts'],
    ['operators/a.ts', "export { x } from '../engine/ring/b.ts'\nexport const y = 1", 'engine/ring/b.ts'],
    ['loadgen/a.ts', "const { x } = await import('../engine/b.ts')", 'engine/b.ts'],
    ['loadgen/a.ts', "import { x } from '../operators/b.ts'", 'operators/b.ts'],
    ['loadgen/a.ts', "new Worker(new URL('../engine/b-worker.ts', import.meta.url))", 'engine/b-worker.ts'],
    ['loadgen/a.ts', "import '../engine/cli.ts'", 'engine/cli.ts'],
    ['engine/a.ts', "import {\n  // a comment: don't stop\n  x,\n} from '../loadgen/b.ts'", 'loadgen/b.ts'],
    ['engine/cli.ts', "import { x } from '../bench/b.ts'", 'bench/b.ts'],
    ['engine/cli/command.ts', "import { x } from '../../loadgen/b.ts'", 'loadgen/b.ts'],
    ['engine/a/b.ts', "type X = import('../../bench/b.ts').X", 'bench/b.ts'],
    ['console/a.ts', "import { x } from '../base/b.ts'", 'base/b.ts'],
    ['base/a.ts', "const quote = /'/\nimport { x } from '../codecs/b.ts'", 'codecs/b.ts'],
  ])('%s: %j is refused', (path, source, target) => {
    expect(faults({ [path]: source })).toEqual([`${path} must not import ${target}`])
  })

  test.each([
    ['engine/cli.ts', "const { load } = await import('../loadgen/load.ts')"],
    ['engine/cli/start-command.ts', "const { demo } = await import('../../loadgen/demo.ts')"],
    ['loadgen/a.test.ts', "fork(new URL('../engine/cli.ts', import.meta.url))"],
    ['bench/a.ts', "import { x } from '../engine/b.ts'"],
    ['codecs/a.ts', "// import { x } from '../engine/b.ts'\n/* import '../engine/c.ts' */"],
    ['codecs/a.ts', "const text = `import { x } from '../engine/b.ts'`\nBuffer.from('../engine')"],
    ['codecs/a.ts', "import { z } from 'zlib'\nexport { x } from './b.ts'\nexport const y = 1"],
  ])('%s: %j passes', (path, source) => {
    expect(faults({ [path]: source })).toEqual([])
  })

  test('cycles, endings, barrels and unknown folders are found', () => {
    expect(
      faults({
        'base/a.ts': "import { b } from './b.ts'",
        'base/b.ts': "import { c } from './c/d.ts'",
        'base/c/d.ts': "import { a } from '../a.ts'",
        'codecs/a.ts': "import { b } from './b'\nimport { c } from './c.js'",
        'codecs/index.ts': "export { b } from './b.ts'\nexport type { c } from './c.ts'\n",
        'codecs/all.ts': "export * from './b.ts'\nexport const x = 1",
        'helpers/a.ts': '',
      }),
    ).toEqual([
      'codecs/a.ts: ./b does not end in .ts',
      'codecs/a.ts: ./c.js does not end in .ts',
      'codecs/index.ts: a barrel file',
      'codecs/all.ts: a barrel file',
      'helpers/a.ts: a folder without arrows',
      'a cycle: base/a.ts > base/b.ts > base/c/d.ts > base/a.ts',
    ])
  })

  test('a worker may name its parent by URL', () => {
    expect(
      faults({
        'engine/a.ts': "new Worker(new URL('./a-worker.ts', import.meta.url))",
        'engine/a-worker.ts': "import { a } from './a.ts'",
      }),
    ).toEqual([])
  })
})
