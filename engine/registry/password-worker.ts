/** Passwords on a thread of the pool: it has nothing else to do. */
import { hashPassword, verifyPassword } from './password-hash.ts'

export type PasswordJob = { password: Uint8Array; hash: string } | { password: Uint8Array; hash: null }

/** Whether the password has that hash; without one, its hash. */
export function passwordJob({ password, hash }: PasswordJob): boolean | string {
  return hash === null ? hashPassword(password) : verifyPassword(password, hash)
}
