import { afterAll, beforeAll, expect, test } from 'vitest';
import { atEndOfTest } from '../src/at-end-of-test.ts';
import { cannotRun } from '../src/chromium.ts';
import { waitFor } from '../src/wait-for.ts';
import { givenCluster, type GivenCluster } from './given-cluster.ts';
import { testNamespace } from './namespace.ts';
import { httpDeployment, isReady, service, type Pod } from './workloads.ts';

let cluster: GivenCluster;
beforeAll(async () => {
  cluster = await givenCluster();
});
afterAll(() => cluster.api.close());

async function readyPods(namespace: string): Promise<Pod[]> {
  return (await cluster.api.get<{ items: Pod[] }>(`/api/v1/namespaces/${namespace}/pods`)).items.filter(isReady);
}

test('draining one of two nodes moves its pods to the other, which then serves them', async ({ skip }) => {
  if (cluster.kind === 'foreign') {
    cannotRun('the drain of a node', 'the cluster in SLIPWAY_TEST_KUBECONFIG may be used by others');
    skip();
  }
  const { api } = cluster;
  const namespace = await testNamespace(api);
  await api.create(`/apis/apps/v1/namespaces/${namespace}/deployments`, httpDeployment('moved', 4, cluster.image));
  await api.create(`/api/v1/namespaces/${namespace}/services`, service('moved'));
  const before = await waitFor(
    async () => {
      const pods = await readyPods(namespace);
      return pods.length === 4 ? pods : null;
    },
    { what: 'four ready pods', seconds: 90 },
  );
  expect(new Set(before.map(({ spec }) => spec.nodeName))).toEqual(new Set(['node1', 'node2']));

  atEndOfTest(() => api.patch('/api/v1/nodes/node2', { spec: { unschedulable: null } }));
  await api.patch('/api/v1/nodes/node2', { spec: { unschedulable: true } });
  for (const { metadata, spec } of before)
    if (spec.nodeName === 'node2')
      await api.create(`/api/v1/namespaces/${namespace}/pods/${metadata.name}/eviction`, {
        apiVersion: 'policy/v1',
        kind: 'Eviction',
        metadata: { name: metadata.name },
      });

  const after = await waitFor(
    async () => {
      const pods = await readyPods(namespace);
      return pods.length === 4 && pods.every(({ spec }) => spec.nodeName === 'node1') ? pods : null;
    },
    { what: 'four ready pods on node1', seconds: 90 },
  );
  const names = new Set(after.map(({ metadata }) => metadata.name));
  const { spec } = await api.get<{ spec: { clusterIP: string } }>(`/api/v1/namespaces/${namespace}/services/moved`);
  const answer = await fetch(`http://${spec.clusterIP}/`, { headers: { connection: 'close' } });
  expect(names).toContain(await answer.text());
});
