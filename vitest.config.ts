import { defineConfig } from 'vitest/config'

// Forked processes, because chDB crashes in worker threads; files run one or two at a time, as the machine has cores.
export default defineConfig({
  test: {
    include: ['{base,codecs,operators,engine,loadgen,bench,docker}/**/*.test.ts'],
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
