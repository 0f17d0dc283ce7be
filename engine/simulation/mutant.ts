/**
 * For tests: a copy of the engine in which pieces of text are others, and the simulation run in it. So a wrong engine can
 * be tried without a hook in the right one.
 */
import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const COPIED = ['base', 'codecs', 'operators', 'engine', 'package.json']

export interface Mutation {
  file: string
  from: string
  to: string
}

export interface MutantOutcome {
  exitCode: number | null
  /** Empty when the mutant was not caught. */
  failure: string
  seed: number
}

/** Simulates a mutant from a seed on, until it is caught or `runs` have passed. */
export async function simulateMutant(
  mutations: readonly Mutation[],
  firstSeed: number,
  runs: number,
): Promise<MutantOutcome> {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-mutant-'))
  try {
    for (const name of COPIED) {
      const isCopied = (path: string) => !path.endsWith('.test.ts')
      cpSync(join(ROOT, name), join(directory, name), { recursive: true, filter: isCopied })
    }
    symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'))
    for (const { file, from, to } of mutations) mutate(join(directory, file), from, to)
    return await run(directory, ['--seed', `${firstSeed}`, '--runs', `${runs}`])
  } finally {
    rmSync(directory, { recursive: true })
  }
}

function mutate(file: string, from: string, to: string): void {
  const source = readFileSync(file, 'utf8')
  if (source.split(from).length !== 2) throw new Error(`${file} does not have once: ${from}`)
  writeFileSync(
    file,
    source.replace(from, () => to),
  )
}

async function run(directory: string, args: string[]): Promise<MutantOutcome> {
  const main = join(directory, 'engine/simulation/main.ts')
  const child = spawn(process.execPath, [main, '--json', '--threads', '1', ...args])
  let output = ''
  let errors = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  child.stderr.on('data', (chunk) => {
    errors += chunk
  })
  const exitCode = await new Promise<number | null>((resolve) => child.once('close', resolve))
  if (output === '') throw new Error(errors)
  const { failed } = JSON.parse(output)
  return { exitCode, failure: failed?.failure ?? '', seed: failed?.seed ?? 0 }
}
