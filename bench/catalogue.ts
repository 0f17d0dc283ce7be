/**
 * Finds the benches of this folder and runs one in a process of its own, so that what the compiler learned in
 * one bench does not colour another, and a crash or a hang is a line in the report. A bench `x` is the file
 * `x.ts` that says `export const bench`.
 */
import { fork } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import type { BenchSize, Measure } from './bench.ts'

const FOLDER = import.meta.dirname
const TIMEOUT_MS: Record<BenchSize, number> = { small: 240_000, full: 600_000 }

/** What the child sends back, once. */
export type ChildReport = { about: string; measures: Measure[] } | { fault: string }

export type Outcome = { about: string; measures: Measure[] }

/** The names of all benches, sorted. */
export function findBenches(): string[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
    .filter((file) => /^export const bench\b/m.test(readFileSync(`${FOLDER}/${file}`, 'utf8')))
    .map((file) => file.slice(0, -3))
    .sort()
}

/**
 * Runs the bench in a child. Its standard output goes to our standard error. Rejects when it fails, crashes
 * or hangs.
 */
export function runIsolated(name: string, size: BenchSize, timeoutMs = TIMEOUT_MS[size]): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = fork(`${FOLDER}/child.ts`, [name, size], {
      execArgv: ['--expose-gc'],
      stdio: ['ignore', 2, 2, 'ipc'],
    })
    let report: ChildReport = { fault: 'left without a report' }
    const timer = setTimeout(() => {
      report = { fault: `no end after ${timeoutMs / 1000} s` }
      child.kill('SIGKILL')
    }, timeoutMs)
    child.on('message', (message: ChildReport) => {
      report = message
    })
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      clearTimeout(timer)
      if ('fault' in report) reject(new Error(`${name}: ${report.fault}`))
      else if (code !== 0) reject(new Error(`${name}: reported, then left with ${signal ?? `code ${code}`}`))
      else resolve(report)
    })
  })
}
