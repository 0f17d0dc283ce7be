/**
 * Reads a config file: a TypeScript or JavaScript module that default-exports what `defineConfig` returns. It may lie anywhere:
 * its `import ... from 'millrace'` is this engine's.
 */
import { registerHooks } from 'node:module'
import { dirname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { inspect } from 'node:util'
import type { MillraceConfig } from './config.ts'
import { checkConfig } from './config-check.ts'
import { ConfigError } from './config-value.ts'
import { EngineError } from './engine-error.ts'

const OWN_URL = new URL('./config.ts', import.meta.url).href

registerHooks({
  resolve: (specifier, context, nextResolve) =>
    specifier === 'millrace' ? { url: OWN_URL, shortCircuit: true } : nextResolve(specifier, context),
})

/** Null gives the default config. Throws ConfigError, and EngineError when the file can't be loaded. */
export async function loadConfig(file: string | null): Promise<MillraceConfig> {
  if (file === null) return checkConfig({})
  try {
    const module = await import(pathToFileURL(resolve(file)).href)
    return besideFile(checkConfig(module.default), file)
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw new EngineError('CONFIG', `config ${file} can't be loaded: ${firstLine(error)}`, error)
  }
}

/** Paths in a config begin where its file is. */
function besideFile(config: MillraceConfig, file: string): MillraceConfig {
  const { jwt } = config.access
  if (jwt === null) return config
  const keys = resolve(dirname(resolve(file)), jwt.keys)
  return { ...config, access: { ...config.access, jwt: { ...jwt, keys } } }
}

/** Of whatever was thrown: a config is code, and need not throw errors. */
export function firstLine(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message || thrown.name : inspect(thrown)
  return text.split('\n')[0]
}
