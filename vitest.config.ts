import { configDefaults, defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['packages/*/src/**/*.test.ts', 'packages/dashboard/test/**/*.test.ts', 'testing/**/*.test.ts'],
    // These need a Kubernetes cluster: npm run test:cluster.
    exclude: [...configDefaults.exclude, '**/*.cluster.test.ts'],
    globalSetup: ['testing/src/global-setup.ts'],
    pool: 'forks',
    // Real processes on a shared machine: generous, and every wait inside a test has a bound and a message of its own.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Tests never depend on the order of files; concurrency inside a file is chosen by the file.
    // A stalled moment of a shared machine must not sink a change; on a developer's machine a flaky test is to be seen.
    retry: process.env['CI'] === undefined ? 0 : 2,
    fileParallelism: true,
    maxWorkers: 3,
  },
});
