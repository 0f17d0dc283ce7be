/** What passes between the supervisor and the engine's process. */
import type { EngineAddresses, EngineOptions } from './engine.ts'
import type { Fault } from './fault-log.ts'
import type { Refusal } from './registry/credentials.ts'
import type { Alert } from './shard/alert.ts'
import type { EngineStatus } from './status.ts'

/** An engine to be started; its process reads the config file itself. */
export type EngineLaunch = Omit<EngineOptions, 'config'>

export type EngineFigures = Omit<EngineStatus, 'gateways' | 'shards' | 'sessions'>

/** One `start`, then at most one `stop`, which drains; `reload` has the TLS files read again. */
export type EngineRequest = { kind: 'start'; launch: EngineLaunch } | { kind: 'reload' } | { kind: 'stop' }

export type EngineReport =
  | { kind: 'ready'; addresses: EngineAddresses }
  | { kind: 'status'; figures: EngineFigures }
  | { kind: 'replaying'; doneBytes: number; totalBytes: number }
  | { kind: 'fault'; fault: Fault }
  /** Numbers that are not known are null on this way. */
  | { kind: 'alerts'; alerts: readonly Alert[] }
  | { kind: 'refusals'; refusals: readonly Refusal[] }
  | EngineEnd

/** The last words of an engine. */
export type EngineEnd =
  /** It did not start, for a reason that somebody has to remove. */
  | { kind: 'refused'; code: string; message: string }
  | { kind: 'died'; message: string }
  | { kind: 'stopped'; figures: EngineFigures; isDrained: boolean }
