/** For tests: one engine for all tests of a file. */
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { EngineProcess, temporaryDirectory } from '../engine-process.ts'
import { type ConnectOptions, Peer, type Version } from './peer.ts'

export interface Server {
  engine: EngineProcess
  dataPath: string
  /** A client whose CONNECT was accepted; it is dropped after the last test. */
  connect(version: Version, options?: ConnectOptions): Promise<Peer>
  /** A connection without a word. */
  open(version: Version): Promise<Peer>
}

/** Starts an engine before the file's tests, and ends it after them. */
export function startServer(): Server {
  const directory = temporaryDirectory()
  const peers: Peer[] = []
  const keep = (peer: Peer): Peer => {
    peers.push(peer)
    return peer
  }
  const server: Server = {
    engine: undefined as unknown as EngineProcess,
    dataPath: join(directory.path, 'data'),
    connect: async (version, options) =>
      keep(await Peer.connect(server.engine.addresses.mqtt, version, options)),
    open: async (version) => keep(await Peer.open(server.engine.addresses.mqtt, version)),
  }
  beforeAll(async () => {
    server.engine = await EngineProcess.start(['--data', join(directory.path, 'data'), '--no-restart'])
  })
  afterAll(async () => {
    await Promise.all(peers.map((peer) => peer.drop()))
    await server.engine.stop()
    directory.remove()
  })
  return server
}
