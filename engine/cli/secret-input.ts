/** A password from where no list of processes and no shell history shows it: a pipe, or a terminal that does not echo. */
import { createInterface } from 'node:readline'
import { type CommandIo, UsageError } from './command.ts'

const LENGTH_MAX = 4096

/** From a terminal asked for twice; else all of standard input, without the line's end. Throws UsageError. */
export function readPassword(io: CommandIo, what: string): Promise<Buffer> {
  return io.stdin.isTTY ? fromTerminal(io, what) : fromPipe(io)
}

async function fromPipe({ stdin }: CommandIo): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of stdin) {
    size += chunk.length
    if (size > LENGTH_MAX) throw new UsageError(`a password has at most ${LENGTH_MAX} bytes`)
    chunks.push(Buffer.from(chunk))
  }
  const password = Buffer.concat(chunks)
  const end = password.at(-1) === 0x0a ? (password.at(-2) === 0x0d ? -2 : -1) : undefined
  return password.subarray(0, end)
}

async function fromTerminal({ stdin, stderr }: CommandIo, what: string): Promise<Buffer> {
  // Without an output readline echoes nothing; in its raw mode neither does the terminal.
  const lines = createInterface({ input: stdin, terminal: true })
  lines.on('SIGINT', () => lines.close())
  const typed = lines[Symbol.asyncIterator]()
  const ask = async (question: string) => {
    stderr.write(question)
    const { value, done } = await typed.next()
    stderr.write('\n')
    if (done) throw new UsageError('no password was given')
    return value
  }
  try {
    const password = await ask(`password of ${what}: `)
    if ((await ask('again: ')) !== password) throw new UsageError('the two passwords differ')
    return Buffer.from(password)
  } finally {
    lines.close()
  }
}
