/** The second stage of a CONNECT: who it is. Every user name is taken; there is no enhanced authentication. */
import { ReasonCode } from '../../../codecs/mqtt/packet.ts'
import type { ConnectAttempt } from './connect-attempt.ts'

export function authenticate({ packet }: ConnectAttempt): number {
  return packet.properties.authenticationMethod === null ? 0 : ReasonCode.BAD_AUTHENTICATION_METHOD
}
