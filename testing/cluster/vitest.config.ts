import path from 'node:path';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  root: path.join(import.meta.dirname, '..', '..'),
  test: {
    include: ['packages/*/src/**/*.cluster.test.ts', 'testing/**/*.cluster.test.ts'],
    globalSetup: ['testing/src/global-setup.ts'],
    pool: 'forks',
    // Pods start in seconds, on a busy machine in tens of them; every wait inside a test has a bound and a message of its own.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    maxWorkers: 2,
  },
});
