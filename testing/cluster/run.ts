import path from 'node:path';
import { runVitest } from '../src/vitest-run.ts';
import { asProgram, withTestCluster } from './session.ts';

/**
 * What `npm run test:cluster` runs: a cluster of two nodes, the tests named `*.cluster.test.ts` on it, and its end. Arguments go
 * to vitest. With SLIPWAY_TEST_KUBECONFIG the tests use that cluster, and nothing is started.
 */
const NODES = 2;
const config = ['--config', path.join(import.meta.dirname, 'vitest.config.ts')];

await asProgram('the tests on a Kubernetes cluster', async () => {
  const args = [...config, ...process.argv.slice(2)];
  const given = process.env['SLIPWAY_TEST_KUBECONFIG'];
  if (given !== undefined && given !== '') return runVitest(args, { SLIPWAY_TEST_KUBECONFIG: path.resolve(given) });
  return withTestCluster({ nodes: NODES }, (cluster) =>
    runVitest(args, {
      SLIPWAY_TEST_KUBECONFIG: cluster.kubeconfig,
      SLIPWAY_TEST_CLUSTER_FOLDER: cluster.folder,
      SLIPWAY_TEST_CLUSTER_FEATURES: cluster.features.join(),
      PATH: [...cluster.tools, process.env['PATH'] ?? ''].join(path.delimiter),
    }),
  );
});
