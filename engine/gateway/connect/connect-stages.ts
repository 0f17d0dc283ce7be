/**
 * What happens between CONNECT and CONNACK, in order. A stage that needs an answer from elsewhere returns
 * PENDING; the connection is not read meanwhile, and its time for CONNECT goes on.
 */
import { authenticate } from './authenticate.ts'
import type { ConnectStage } from './connect-attempt.ts'
import { checkLimits } from './connect-limits.ts'
import { openSession } from './open-session.ts'

export const CONNECT_STAGES: readonly ConnectStage[] = [checkLimits, authenticate, openSession]
