import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { asProgram, withTestCluster } from './session.ts';

/**
 * What `npm run cluster` runs: a cluster to look at, until Ctrl-C. The number of nodes may follow; default 1. `--plain` leaves the
 * gateway, the enforcement of network policies and Helm away.
 */
await asProgram('a Kubernetes cluster', async () => {
  const { values, positionals } = parseArgs({ options: { plain: { type: 'boolean' } }, allowPositionals: true });
  const nodes = Number(positionals[0] ?? '1');
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > 9) {
    console.error(`slipway: "${positionals[0]}" is no number of nodes. Give 1 to 9: npm run cluster -- 2`);
    return 2;
  }
  return withTestCluster({ nodes, extent: values.plain === true ? 'plain' : 'full' }, async (cluster, interrupted) => {
    const programs = cluster.tools.join(':');
    console.log(`export KUBECONFIG=${cluster.kubeconfig} PATH=${programs}:$PATH   # then: kubectl get nodes`);
    // A signal alone does not keep a process alive.
    const alive = setInterval(() => undefined, 60_000);
    if (!interrupted.aborted) await once(interrupted, 'abort');
    clearInterval(alive);
    return 0;
  });
});
