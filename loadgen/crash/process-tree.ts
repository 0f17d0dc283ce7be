/**
 * Which processes a program has under it, read from Linux's /proc: the harness kills the engine's own children without
 * the engine's help. Stateless.
 */
import { readdirSync, readFileSync } from 'node:fs'

export interface TreeProcess {
  pid: number
  parent: number
  /** The arguments with blanks between. */
  command: string
}

/** The children of `pid`, theirs, and so on. A process that ends meanwhile is left out. */
export function descendantsOf(pid: number): TreeProcess[] {
  const found: TreeProcess[] = []
  for (const child of childrenOf(pid)) {
    const command = read(`/proc/${child}/cmdline`).replaceAll('\0', ' ').trim()
    // One that has ended and was not waited for has no command line.
    if (command !== '') found.push({ pid: child, parent: pid, command })
    found.push(...descendantsOf(child))
  }
  return found
}

export function isAlive(pid: number): boolean {
  const stat = read(`/proc/${pid}/stat`)
  return stat !== '' && !/\) [ZX] /.test(stat)
}

/** SIGKILL; false when it had ended already. */
export function killHard(pid: number): boolean {
  try {
    process.kill(pid, 'SIGKILL')
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}

/** A child stands in the list of the thread that started it. */
function childrenOf(pid: number): number[] {
  let threads: string[]
  try {
    threads = readdirSync(`/proc/${pid}/task`)
  } catch {
    return []
  }
  const lists = threads.map((thread) => read(`/proc/${pid}/task/${thread}/children`))
  return lists.flatMap((list) => list.split(' ').filter(Boolean).map(Number))
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
