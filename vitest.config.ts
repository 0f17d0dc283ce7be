import { defineConfig } from 'vitest/config'

// Forked processes, because chDB crashes in worker threads; files run one or two at a time, as the machine has cores.
export default defineConfig({
  test: {
    include: ['{base,codecs,operators,engine,loadgen,bench,docker}/**/*.test.ts'],
    pool: 'forks',
    // For what hangs: on a busy machine a test may take many times what it takes alone.
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
})
