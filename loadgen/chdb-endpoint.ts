/**
 * ClickHouse's HTTP query port over an embedded chDB, for tests of the verification: one database, no guards.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Session } from 'chdb'

export interface ChdbEndpoint {
  port: number
  execute(sql: string): Promise<void>
  close(): Promise<void>
}

export async function startChdbEndpoint(): Promise<ChdbEndpoint> {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-loadgen-'))
  const session = new Session(directory)
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const sql = new URL(request.url ?? '/', 'http://store').searchParams.get('query') ?? ''
    try {
      const result = await session.queryAsync(sql + Buffer.concat(chunks).toString())
      response.end(result.bytes())
    } catch (error) {
      response.statusCode = 500
      response.end(String(error))
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    execute: async (sql) => {
      await session.queryAsync(sql)
    },
    close: async () => {
      await new Promise((resolve) => server.close(resolve))
      session.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
