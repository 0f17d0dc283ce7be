/**
 * One engine: data directory, registry, store, gateway and shard threads, HTTP port. Lives on the main thread, which touches no
 * reading: it starts things in order, adds up figures, and stops things in order.
 */
import { join } from 'node:path'
import { MessageChannel, type TransferListItem } from 'node:worker_threads'
import { assert } from '../base/assert.ts'
import type { Address } from './address.ts'
import type { MillraceConfig } from './config.ts'
import { layoutOf } from './config-layout.ts'
import { DataDirectory, type Identity } from './directory.ts'
import { EngineError } from './engine-error.ts'
import type { WorkerReport, WorkerSetup } from './engine-worker.ts'
import { type Fault, FaultLog } from './fault-log.ts'
import { ConnectionCounts } from './gateway/connection-counts.ts'
import type { DoorAddresses, GatewaySetup } from './gateway/gateway.ts'
import { HttpServer } from './http/http-server.ts'
import type { Refusal } from './registry/credentials.ts'
import { REGISTRY_NAME } from './registry/registry.ts'
import { RegistryKeeper } from './registry/registry-keeper.ts'
import { Doorbell } from './ring/doorbell.ts'
import { createRing } from './ring/ring.ts'
import type { SessionsSetup } from './sessions/sessions-thread.ts'
import type { Alert } from './shard/alert.ts'
import type { ShardSetup } from './shard/shard-thread.ts'
import { StatusBoard } from './status.ts'
import { type ServerAddress, StoreKeeper } from './store-keeper.ts'
import { TlsKeeper } from './tls/tls-keeper.ts'
import type { TlsFiles } from './tls/tls-material.ts'
import { WorkerHandle } from './worker-handle.ts'

const PEER_RING_SIZE_BYTES = 4 << 20
/** Of the sessions' journal: much is rewritten, little is kept. */
const SESSIONS_SEGMENT_SIZE_BYTES = 8 << 20
const SESSIONS_JOURNAL_SHARE = 1 / 8
const SESSIONS_JOURNAL_SIZE_BYTES_MIN = 64 << 20
const SEGMENT_SIZE_BYTES_MIN = 4 << 20
const SEGMENT_SIZE_BYTES_MAX = 64 << 20
const STATUS_INTERVAL_MS = 1000
const DRAIN_TIMEOUT_MS = 30_000
/** While one of these lasts nothing is acknowledged. */
const JOURNAL_FAULTS = ['JOURNAL_WRITE', 'JOURNAL_SYNC', 'DISK_FULL']
/** While one of these lasts no rows are stored. */
const STORE_FAULTS = ['STORE_DIED', 'STORE_AWAY', 'STORE_REFUSES']

export interface EngineOptions {
  dataPath: string
  config: MillraceConfig
  /** Where the config came from: threads read its functions themselves. Null for the default. */
  configFile: string | null
  mqtt: Address
  webSocket: Address
  /** The same with TLS; null without. */
  mqtts: Address | null
  wss: Address | null
  tls: TlsFiles | null
  /** Load balancers whose PROXY headers are believed: addresses and networks. */
  trustedProxies: string[]
  http: Address
  /** Where analysts reach the embedded store. */
  store: Address
  /** A ClickHouse server instead of the embedded store. */
  server: ServerAddress | null
  /** 0: gateway and shard share one thread. */
  gateways: number
  /** Null: as many as the data directory has, or `shardsDefault`. */
  shards: number | null
  shardsDefault: number
  journalSizeBytesMax: number
  /** Clients without credentials are let in from anywhere. */
  allowsAnonymous: boolean
}

export interface EngineAddresses {
  mqtt: Address
  webSocket: Address
  mqtts: Address | null
  wss: Address | null
  http: Address
  /** Null with a server. */
  store: Address | null
}

export interface EngineEvents {
  onFault(fault: Fault): void
  /** Their rows are durable in the journal; after a crash some may come again. */
  onAlerts(alerts: readonly Alert[]): void
  /** What clients were refused; not every single one of many. */
  onRefusals(refusals: readonly Refusal[]): void
  /** The engine can't go on; the process must end and start again. */
  onDeath(error: Error): void
}

export class Engine {
  readonly board = new StatusBoard()
  addresses!: EngineAddresses
  #options: EngineOptions
  #events: EngineEvents
  #directory: DataDirectory
  #store: StoreKeeper
  #registry: RegistryKeeper | null = null
  #workers: WorkerHandle[] = []
  #http: HttpServer | null = null
  #tls: TlsKeeper | null = null
  #faults = new FaultLog()
  #sampling: NodeJS.Timeout | undefined
  #isStopping = false
  /** Connections of this life of the engine are not those of another one: a redelivered message tells them apart. */
  #life = 0

  /** Resolves once devices are served. Throws EngineError. */
  static async start(options: EngineOptions, events: EngineEvents): Promise<Engine> {
    const directory = new DataDirectory(options.dataPath)
    const engine = new Engine(options, events, directory)
    try {
      await engine.#start()
      return engine
    } catch (error) {
      await engine.#release()
      throw error
    }
  }

  private constructor(options: EngineOptions, events: EngineEvents, directory: DataDirectory) {
    this.#options = options
    this.#events = events
    this.#directory = directory
    this.#store = new StoreKeeper(
      {
        directory: directory.path,
        listen: options.store,
        server: options.server,
        config: options.config,
      },
      (fault) => this.#onFault('store', fault),
    )
  }

  /** Takes no more, brings what was taken to ClickHouse, ends. False when some of it waits in the journal. */
  async stop(): Promise<boolean> {
    this.#isStopping = true
    await Promise.all(this.#workers.map((worker) => worker.request({ kind: 'drainGateway' })))
    await Promise.all(
      this.#workers.map((worker) => worker.request({ kind: 'drainSessions', timeoutMs: DRAIN_TIMEOUT_MS })),
    )
    const drained = await Promise.all(
      this.#workers.map((worker) =>
        worker.request({ kind: 'drainShard', timeoutMs: DRAIN_TIMEOUT_MS, closesWindows: true }),
      ),
    )
    const isDrained = drained.every(Boolean)
    await this.#release(isDrained)
    return isDrained
  }

  /** Why no messages are taken at the moment; null when they are. */
  unreadyReason(): string | null {
    if (this.#isStopping) return 'stopping'
    if (this.#http === null) return 'starting'
    const brokenJournal = this.#faults.messageOf(JOURNAL_FAULTS)
    if (brokenJournal !== null) return brokenJournal
    if (!this.board.summary().isJournalFull) return null
    const absence = this.#faults.messageOf(STORE_FAULTS)
    const cause =
      absence === null ? 'ClickHouse takes rows too slowly' : `ClickHouse takes no rows (${absence})`
    return `the journal is full: ${cause}`
  }

  /** Has the TLS files read again. */
  reloadTls(): void {
    this.#tls?.reload()
  }

  async #start(): Promise<void> {
    this.#tls = this.#openTls()
    this.#life = this.#directory.countStart()
    const registry = await this.#openRegistry()
    this.#registry = registry
    await this.#store.start()
    const { sessions, plans } = this.#workerSetups(await this.#openJournals())
    const [first, ...others] = plans
    this.#directory.noteUndrained()
    if (sessions !== null) await this.#startWorker(sessions)
    const bound = await this.#startWorker(first)
    await Promise.all(
      others.map((plan) => {
        if (plan.setup.gateway !== null) Object.assign(plan.setup.gateway, bound)
        return this.#startWorker(plan)
      }),
    )
    this.#http = await HttpServer.listen(this.#options.http, {
      board: this.board,
      unreadyReason: () => this.unreadyReason(),
      passwords: () => registry.passwords,
    })
    this.#sampling = setInterval(() => {
      this.#sampleCpu()
      for (const fault of this.#faults.due(performance.now())) this.#events.onFault(fault)
    }, STATUS_INTERVAL_MS)
    this.addresses = {
      mqtt: bound.mqtt ?? this.#options.mqtt,
      webSocket: bound.webSocket ?? this.#options.webSocket,
      mqtts: bound.mqtts,
      wss: bound.wss,
      http: this.#http.address,
      store: this.#store.address,
    }
  }

  #openTls(): TlsKeeper | null {
    const { tls } = this.#options
    if (tls === null) return null
    return new TlsKeeper(tls, {
      onRenewed: (material) => {
        for (const worker of this.#workers) void worker.request({ kind: 'renewTls', material })
      },
      onFault: (fault) => this.#onFault('tls', fault),
    })
  }

  #openRegistry(): Promise<RegistryKeeper> {
    return RegistryKeeper.open(join(this.#directory.path, REGISTRY_NAME), this.#options.config.access, {
      onFault: (fault) => this.#onFault('registry', fault),
      onRefusals: (refusals) => this.#events.onRefusals(refusals),
    })
  }

  /**
   * The journals that this start goes on with. What was written under another layout is brought to ClickHouse first; where only
   * the config is another, the journals and the state of what did not change are kept.
   */
  async #openJournals(): Promise<Identity> {
    const directory = this.#directory
    const { identity } = directory
    const shards = this.#options.shards ?? identity?.shards ?? this.#options.shardsDefault
    const layout = { shards, ...layoutOf(this.#options.config) }
    if (identity === null) return directory.begin(layout)
    if (directory.fits(layout)) return identity
    const canContinue = directory.canContinue(layout)
    if (!directory.isDrained) await this.#drain(identity, !canContinue)
    return canContinue ? directory.continue(layout) : directory.begin(layout)
  }

  /** Replays journals of an earlier layout under that layout until all of it is stored, open windows too when asked for. */
  async #drain(identity: Identity, closesWindows: boolean): Promise<void> {
    const memory = shareMemory(this.#options.config, 1, identity.shards)
    await Promise.all(
      this.#shardSetups(memory, identity).map((shard) =>
        this.#startWorker({
          name: `shard ${shard.index}`,
          setup: { gateway: null, shard, sessions: null },
          transfer: [],
        }),
      ),
    )
    const drained = await Promise.all(
      this.#workers.map((worker) =>
        worker.request({ kind: 'drainShard', timeoutMs: DRAIN_TIMEOUT_MS, closesWindows }),
      ),
    )
    await Promise.all(this.#workers.splice(0).map((worker) => worker.stop()))
    this.board.shards.length = 0
    if (drained.every(Boolean)) return
    throw new EngineError(
      'DATA_NOT_DRAINED',
      `data directory ${this.#directory.path} holds data of another number of shards (${identity.shards}) or another ` +
        'config, and ClickHouse does not take it: start with those, or when ClickHouse does',
    )
  }

  /** Sessions first: gateways wait for what they know. Then gateways: the first one's ports are everyone's. */
  #workerSetups(identity: Identity): { sessions: WorkerPlan | null; plans: WorkerPlan[] } {
    const memory = shareMemory(this.#options.config, Math.max(1, this.#options.gateways), identity.shards)
    const shards = this.#shardSetups(memory, identity)
    const gateways = memory.gatewayBells.map((_, index) => this.#gatewaySetup(memory, index))
    if (this.#options.gateways === 0) {
      const setup = { gateway: gateways[0].setup, shard: shards[0], sessions: this.#sessionsSetup(memory) }
      return {
        sessions: null,
        plans: [{ name: 'gateway, sessions and shard', setup, transfer: gateways[0].transfer }],
      }
    }
    const sessions = {
      name: 'sessions',
      setup: { gateway: null, shard: null, sessions: this.#sessionsSetup(memory) },
      transfer: [],
    }
    const plans = [
      ...gateways.map(({ setup, transfer }) => ({
        name: `gateway ${setup.index}`,
        setup: { gateway: setup, shard: null, sessions: null },
        transfer,
      })),
      ...shards.map((shard) => ({
        name: `shard ${shard.index}`,
        setup: { gateway: null, shard, sessions: null },
        transfer: [],
      })),
    ]
    return { sessions, plans }
  }

  #sessionsSetup(memory: SharedMemory): SessionsSetup {
    const share = this.#options.journalSizeBytesMax * SESSIONS_JOURNAL_SHARE
    return {
      journalPath: this.#directory.sessionsPath,
      journalSizeBytesMax: Math.max(SESSIONS_JOURNAL_SIZE_BYTES_MIN, Math.floor(share)),
      segmentSizeBytes: SESSIONS_SEGMENT_SIZE_BYTES,
      limits: this.#options.config.limits,
      rings: memory.sessionRings,
      deliveryRings: memory.deliveryRings,
      gatewayBells: memory.gatewayBells,
      filtersTaken: memory.filtersTaken,
      bell: memory.sessionsBell,
    }
  }

  #shardSetups(
    memory: SharedMemory,
    { storeId, generation, shards, hasPast, ...layout }: Identity,
  ): ShardSetup[] {
    const { config, configFile, journalSizeBytesMax } = this.#options
    const sizeBytesMax = Math.floor(journalSizeBytesMax / shards)
    const segmentSizeBytes = Math.max(SEGMENT_SIZE_BYTES_MIN, Math.floor(sizeBytesMax / 8))
    return memory.shardBells.map((bell, index) => ({
      index,
      shardCount: shards,
      storeId: Buffer.from(storeId, 'hex'),
      generation,
      journalPath: this.#directory.journalPath(index),
      journalSizeBytesMax: sizeBytesMax,
      segmentSizeBytes: Math.min(SEGMENT_SIZE_BYTES_MAX, segmentSizeBytes),
      rings: memory.rings.map((ofGateway) => ofGateway[index]),
      gatewayBells: memory.gatewayBells,
      bell,
      store: this.#store.target,
      layout,
      hasPast,
      configFile,
      batch: config.batch,
      inFlightMax: config.limits.receiveMaximum,
    }))
  }

  #gatewaySetup(memory: SharedMemory, index: number): { setup: GatewayPlan; transfer: TransferListItem[] } {
    const { config, mqtt, webSocket, mqtts, wss, trustedProxies } = this.#options
    const peers = memory.gatewayBells.flatMap((bell, peer) => {
      if (peer === index) return []
      const ports = memory.ports.get(pairKey(index, peer))
      if (ports === undefined) throw new Error(`gateways ${index} and ${peer} have no channel`)
      const port = index < peer ? ports.port1 : ports.port2
      return [
        {
          index: peer,
          port,
          inbound: memory.peerRings[peer][index],
          outbound: memory.peerRings[index][peer],
          bell,
        },
      ]
    })
    const identities = this.#gatewayIdentities()
    const setup = {
      index,
      mqtt,
      webSocket,
      mqtts,
      wss,
      tls: this.#tls?.material ?? null,
      trustedProxies,
      rings: memory.rings[index],
      shardBells: memory.shardBells,
      bell: memory.gatewayBells[index],
      sessions: {
        ring: memory.sessionRings[index],
        deliveries: memory.deliveryRings[index],
        bell: memory.sessionsBell,
        filtersTaken: memory.filtersTaken,
      },
      peers,
      connectionCounts: memory.connectionCounts,
      connectionEpoch: this.#life,
      streams: config.streams,
      limits: config.limits,
      identities,
    }
    return { setup, transfer: [...peers.map((peer) => peer.port), identities.port] }
  }

  #gatewayIdentities(): GatewaySetup['identities'] {
    assert(this.#registry !== null, 'the registry is open before gateways are')
    const { port1, port2 } = new MessageChannel()
    this.#registry.serve(port1)
    const { config, allowsAnonymous } = this.#options
    return { access: config.access, allowsAnonymous, isUsed: this.#registry.isUsed, port: port2 }
  }

  /** Resolves once its gateway listens and its shard's journal is open, with the gateway's ports. Throws EngineError. */
  #startWorker({ name, setup, transfer }: WorkerPlan): Promise<DoorAddresses> {
    const { promise, resolve, reject } = Promise.withResolvers<DoorAddresses>()
    const awaited = new Set<string>()
    if (setup.gateway !== null) awaited.add('listening')
    if (setup.shard !== null) awaited.add('shard ready')
    if (setup.sessions !== null) awaited.add('sessions ready')
    let ports: DoorAddresses = { mqtt: null, mqtts: null, webSocket: null, wss: null }
    const worker = new WorkerHandle(name, setup, transfer, {
      onReport: (message) => {
        const { role, report } = message
        if (report.kind === 'listening') {
          const { kind: _, ...addresses } = report
          ports = addresses
        }
        const awaitedKind = report.kind === 'ready' ? `${role} ready` : report.kind
        if (awaited.delete(awaitedKind) && awaited.size === 0) resolve(ports)
        if (role === 'gateway' && report.kind === 'fault')
          reject(new EngineError(report.code, report.message))
        else this.#onReport(name, setup, message)
      },
      onDeath: (error) => {
        const death = deathOf(name, error)
        if (awaited.size > 0) reject(death)
        else this.#events.onDeath(death)
      },
    })
    this.#workers.push(worker)
    return promise
  }

  #onReport(name: string, setup: WorkerSetup, { role, report }: RoleReport): void {
    if (report.kind === 'fault') this.#onFault(name, { isOver: false, ...report })
    else if (report.kind === 'alerts') this.#events.onAlerts(report.alerts)
    else if (report.kind !== 'status') return
    else if (role === 'gateway') this.board.gateways[setup.gateway?.index ?? 0] = report
    else if (role === 'sessions') this.board.sessions = report.status
    else this.board.shards[setup.shard?.index ?? 0] = report.status
  }

  #onFault(source: string, fault: Fault): void {
    const said = this.#faults.take(source, fault, performance.now())
    if (said !== null) this.#events.onFault(said)
  }

  #sampleCpu(): void {
    for (const worker of this.#workers) {
      void worker.cpuSeconds().then((seconds) => {
        if (seconds !== null) this.board.threadCpuSeconds.set(worker.name, seconds)
      })
    }
  }

  async #release(isDrained = false): Promise<void> {
    clearInterval(this.#sampling)
    this.#tls?.stop()
    this.#isStopping = true
    await Promise.all(this.#workers.map((worker) => worker.stop()))
    await this.#registry?.close()
    await this.#http?.close()
    await this.#store.stop()
    if (isDrained) this.#directory.noteDrained()
    this.#directory.close()
  }
}

/** Only what is wrong with a journal is somebody's to mend; anything else that ends a thread is ours. */
function deathOf(name: string, error: Error & { code?: string }): EngineError {
  if (error.code?.startsWith('JOURNAL_')) return new EngineError(error.code, error.message, error)
  return new EngineError('THREAD_DIED', `${name}: ${error.message}`, error)
}

type RoleReport = Exclude<WorkerReport, { role: 'worker' }>

type GatewayPlan = Omit<GatewaySetup, 'clock'>

interface WorkerPlan {
  name: string
  setup: WorkerSetup
  transfer: TransferListItem[]
}

/** What the threads share: a ring for each (gateway, shard), one for each ordered pair of gateways, a bell each. */
interface SharedMemory {
  rings: SharedArrayBuffer[][]
  peerRings: SharedArrayBuffer[][]
  shardBells: SharedArrayBuffer[]
  gatewayBells: SharedArrayBuffer[]
  ports: Map<string, MessageChannel>
  connectionCounts: SharedArrayBuffer
  /** By gateway: to the sessions, and from them. */
  sessionRings: SharedArrayBuffer[]
  deliveryRings: SharedArrayBuffer[]
  sessionsBell: SharedArrayBuffer
  filtersTaken: SharedArrayBuffer
}

function shareMemory(config: MillraceConfig, gatewayCount: number, shardCount: number): SharedMemory {
  const ports = new Map<string, MessageChannel>()
  for (let a = 0; a < gatewayCount; a++) {
    for (let b = a + 1; b < gatewayCount; b++) ports.set(pairKey(a, b), new MessageChannel())
  }
  return {
    rings: table(gatewayCount, shardCount, () => createRing(config.limits.ringSizeBytes)),
    peerRings: table(gatewayCount, gatewayCount, () => createRing(PEER_RING_SIZE_BYTES)),
    shardBells: Array.from({ length: shardCount }, () => Doorbell.memory()),
    gatewayBells: Array.from({ length: gatewayCount }, () => Doorbell.memory()),
    ports,
    connectionCounts: ConnectionCounts.memory(),
    sessionRings: Array.from({ length: gatewayCount }, () => createRing(config.limits.ringSizeBytes)),
    deliveryRings: Array.from({ length: gatewayCount }, () => createRing(config.limits.ringSizeBytes)),
    sessionsBell: Doorbell.memory(),
    filtersTaken: new SharedArrayBuffer(4 * gatewayCount),
  }
}

function table<T>(rows: number, columns: number, make: () => T): T[][] {
  return Array.from({ length: rows }, () => Array.from({ length: columns }, make))
}

function pairKey(a: number, b: number): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`
}
