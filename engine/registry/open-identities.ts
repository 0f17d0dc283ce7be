/** For tests and the simulation: a gateway's identities where everybody is let in, and may everything. */
import { assert } from '../../base/assert.ts'
import { DEFAULT_CONFIG } from '../config.ts'
import { GatewayIdentities } from './gateway-identities.ts'

export function openIdentities(): GatewayIdentities {
  return new GatewayIdentities({
    access: DEFAULT_CONFIG.access,
    allowsAnonymous: true,
    isUsed: false,
    post: ({ kind }) => assert(kind !== 'authenticate', 'nobody has to be asked'),
  })
}
