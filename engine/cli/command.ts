/** What every command shares: where it writes, and how it reads its options. */
import { isIP } from 'node:net'
import { type ParseArgsConfig, parseArgs } from 'node:util'
import { type Address, parseAddress } from '../address.ts'

export interface CommandIo {
  stdin: NodeJS.ReadStream
  stdout: NodeJS.WritableStream & { isTTY?: boolean; columns?: number }
  stderr: NodeJS.WritableStream & { isTTY?: boolean }
  env: NodeJS.ProcessEnv
}

/** The user's call is wrong: exit code 2. */
export class UsageError extends Error {}

export function readOptions<T extends NonNullable<ParseArgsConfig['options']>>(args: string[], options: T) {
  try {
    return parseArgs({ args, options, allowPositionals: true, allowNegative: false, strict: true })
  } catch (error) {
    throw new UsageError(oneLine((error as Error).message))
  }
}

/** Of a command that takes nothing but options. */
export function readFlags<T extends NonNullable<ParseArgsConfig['options']>>(args: string[], options: T) {
  const { values, positionals } = readOptions(args, options)
  if (positionals.length > 0) throw new UsageError(`there is no argument ${JSON.stringify(positionals[0])}`)
  return values
}

/** `parseArgs` adds advice, some of it on lines of its own. */
function oneLine(message: string): string {
  const option = /^Option '([^']+)' argument is ambiguous/.exec(message)?.[1]
  if (option !== undefined)
    return `${option} needs a value; one that begins with a dash is written ${option}=-VALUE`
  return message
    .replace(/\. To specify.*$/s, '')
    .replace(/\.?\n.*$/s, '')
    .replace(/\.$/, '')
}

export function addressOption(name: string, text: string): Address {
  const address = parseAddress(text)
  if (address === null) throw new UsageError(`--${name} takes HOST:PORT, not ${JSON.stringify(text)}`)
  return address
}

export function countOption(name: string, text: string, min: number, max: number): number {
  const count = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (!(count >= min && count <= max))
    throw new UsageError(`--${name} takes a number from ${min} to ${max}, not ${JSON.stringify(text)}`)
  return count
}

/** `10.0.0.7,10.1.0.0/16,fd00::/8`; empty for none. */
export function networksOption(name: string, text: string): string[] {
  const networks = text === '' ? [] : text.split(',')
  for (const network of networks) {
    const [, address, prefix = '0'] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(network) ?? []
    const version = isIP(address ?? '')
    if (version !== 0 && Number(prefix) <= (version === 4 ? 32 : 128)) continue
    throw new UsageError(
      `--${name} takes addresses such as 10.0.0.7,10.1.0.0/16, not ${JSON.stringify(network)}`,
    )
  }
  return networks
}

const SIZE_UNITS: Record<string, number> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 }

/** `512M`, `8G`, `8GiB` or plain bytes. */
export function sizeOption(name: string, text: string, min: number): number {
  const parts = /^(\d{1,12})([KMGT]?)(?:i?B)?$/i.exec(text)
  const sizeBytes = parts === null ? Number.NaN : Number(parts[1]) * SIZE_UNITS[parts[2].toUpperCase()]
  if (!(sizeBytes >= min)) {
    throw new UsageError(
      `--${name} takes a size such as 512M or 8G, at least ${min >> 20}M, not ${JSON.stringify(text)}`,
    )
  }
  return sizeBytes
}
