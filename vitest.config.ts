import { defineConfig } from 'vitest/config'

/** The reference machine has 2 cores; more workers would only make time-outs flaky. */
const workersMax = 2
/** A single in-process test. Generous because several may share one core. */
const testTimeoutMs = 60_000
/** A test with real processes: start-up, kill, takeover and catch-up of up to 25 nodes. */
const clusterTimeoutMs = 300_000

/**
 * Everything in one process runs first, two files at a time. Tests with real node processes come after
 * it and one file at a time, so that elections are not disturbed by a busy machine.
 */
export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: workersMax,
    testTimeout: testTimeoutMs,
    hookTimeout: testTimeoutMs,
    // With scripts/with-node this is the pinned Node; tests start nodes with the same one.
    env: { SOUK_TEST_NODE: process.execPath },
    projects: [
      {
        extends: true,
        test: {
          name: 'fast',
          include: ['test/**/*.test.ts'],
          exclude: ['test/{cluster,chaos,browser}/**'],
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'cluster',
          include: ['test/{cluster,chaos,browser}/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: clusterTimeoutMs,
          hookTimeout: clusterTimeoutMs,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
