/**
 * What a crash run plays on: a directory, a config, an engine on fixed ports, devices, and for faults at the proxy a
 * ClickHouse of its own behind it. Owned by the run; `close` ends every process that was started.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Prng } from '../../base/prng.ts'
import type { TelemetryPlan } from '../telemetry.ts'
import type { Address } from '../transport.ts'
import type { CrashOptions } from './crash-contract.ts'
import { DeviceGroup } from './device-group.ts'
import { EngineUnderTest } from './engine-under-test.ts'
import { FaultProxy } from './fault-proxy.ts'
import { isProxyFault } from './faults.ts'
import { LoadPacer } from './load-pacer.ts'
import { freePorts, openLog } from './program.ts'
import { StoreUnderTest } from './store-under-test.ts'

const HOST = '127.0.0.1'
const WINDOW = 200
const BATCH_AGES_MS = [20, 20, 60, 250] as const
/** Devices' clocks start in the past, so that none of them ever runs ahead. */
const AGE_MS = 3 * 3_600_000
const STEP_MS = 7

export class TestBed {
  readonly engine: EngineUnderTest
  readonly groups: readonly DeviceGroup[]
  readonly pacer: LoadPacer
  /** With faults at the proxy only. */
  readonly store: StoreUnderTest | null = null
  readonly proxy: FaultProxy | null = null
  /** Where the rows are read. */
  readonly storeAddress: Address
  readonly dataPath: string
  readonly #log: ReturnType<typeof openLog>

  /** Takes five free ports: MQTT, WebSocket, HTTP, SQL, proxy. */
  private constructor(directory: string, options: CrashOptions, ports: readonly number[]) {
    const { seed, gateways, shards } = options
    const [mqtt, ws, http, sql, behind] = ports
    const faults = options.faults.filter(isProxyFault)
    const configFile = join(directory, 'config.ts')
    writeFileSync(configFile, configText(seed))
    this.#log = openLog(join(directory, 'run.log'))
    this.storeAddress = { host: HOST, port: sql }
    this.dataPath = join(directory, 'data')
    if (faults.length > 0) {
      this.store = new StoreUnderTest(join(directory, 'clickhouse'), sql, this.#log)
      this.proxy = new FaultProxy({ port: behind, storePort: sql, seed, faults })
    }
    const store =
      this.proxy === null ? ['--store', `${HOST}:${sql}`] : ['--clickhouse', `http://${HOST}:${behind}`]
    const doors = ['--mqtt', `${HOST}:${mqtt}`, '--ws', `${HOST}:${ws}`, '--http', `${HOST}:${http}`]
    const threads = ['--gateways', String(gateways), '--shards', String(shards), '--journal-max', '128M']
    this.engine = new EngineUnderTest({
      args: [configFile, '--data', this.dataPath, ...doors, ...store, ...threads],
      httpPort: http,
      isEmbedded: this.store === null,
      log: this.#log,
    })
    this.groups = createGroups(seed, { host: HOST, port: mqtt }, { host: HOST, port: ws })
    this.pacer = new LoadPacer(this.groups)
  }

  /** Nothing runs yet. */
  static async create(directory: string, options: CrashOptions): Promise<TestBed> {
    return new TestBed(directory, options, await freePorts(5, new Prng(options.seed + process.pid)))
  }

  /** Resolves once the engine takes messages; devices connect from then on. */
  async start(): Promise<void> {
    await this.store?.start()
    await this.proxy?.listen()
    await this.engine.start()
    for (const group of this.groups) group.connect()
    this.pacer.start()
  }

  async close(): Promise<void> {
    this.pacer.stop()
    for (const group of this.groups) group.close()
    await this.engine.destroy()
    await this.proxy?.close()
    await this.store?.destroy()
    this.#log.end()
  }
}

/** Small batches, so that faults fall between and into many of them, and windows that close soon. */
function configText(seed: number): string {
  const batch = { ageMsMax: BATCH_AGES_MS[new Prng(seed).between(0, BATCH_AGES_MS.length - 1)] }
  const windows = { latenessMs: 500, idleTimeoutMs: 1500 }
  return `export default ${JSON.stringify({ batch, windows })}\n`
}

/** Three kinds of devices: MQTT 3.1.1 with JSON, MQTT 5 with MessagePack, and frames over a plain WebSocket. */
function createGroups(seed: number, mqtt: Address, webSocket: Address): DeviceGroup[] {
  const baseMs = Date.now() - AGE_MS
  const plan = (name: string, devices: number, connections: number): TelemetryPlan => {
    const prefix = `crash-${name}-`
    return { prefix, deviceDigits: 4, devices, connections, metrics: 3, seed, baseMs, stepMs: STEP_MS }
  }
  return [
    new DeviceGroup(plan('v4', 12, 4), { door: 'mqtt', codec: 'json', qos: 1, protocol: 4 }, mqtt, WINDOW),
    new DeviceGroup(plan('v5', 6, 3), { door: 'mqtt', codec: 'msgpack', qos: 1, protocol: 5 }, mqtt, WINDOW),
    new DeviceGroup(plan('ws', 3, 3), { door: 'ws', codec: 'json', qos: 1, protocol: 4 }, webSocket, WINDOW),
  ]
}
