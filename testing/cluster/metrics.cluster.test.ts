import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitFor } from '../src/wait-for.ts';
import { givenCluster, type GivenCluster } from './given-cluster.ts';
import { testNamespace } from './namespace.ts';
import { deployment, podTemplate } from './workloads.ts';

let cluster: GivenCluster;
beforeAll(async () => {
  cluster = await givenCluster();
});
afterAll(() => cluster.api.close());

interface PodMetrics {
  items: { containers: { name: string; usage: { cpu: string; memory: string } }[] }[];
}

test('what pods use is measured, and an autoscaler acts on it', async () => {
  const { api, image } = cluster;
  const namespace = await testNamespace(api);
  const template = podTemplate('busy', {
    image,
    command: ['node', '-e', 'for (;;);'],
    resources: { requests: { cpu: '50m' }, limits: { cpu: '150m' } },
  });
  await api.create(`/apis/apps/v1/namespaces/${namespace}/deployments`, deployment('busy', 1, template));
  await api.create(`/apis/autoscaling/v2/namespaces/${namespace}/horizontalpodautoscalers`, {
    metadata: { name: 'busy' },
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'busy' },
      minReplicas: 1,
      maxReplicas: 2,
      metrics: [
        { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } },
      ],
    },
  });
  const measured = await waitFor(
    async () => {
      const path = `/apis/metrics.k8s.io/v1beta1/namespaces/${namespace}/pods?labelSelector=app%3Dbusy`;
      return (await api.get<PodMetrics>(path)).items[0]?.containers[0];
    },
    { what: 'the first measurement', seconds: 90 },
  );
  expect(measured.name).toBe('main');
  expect(measured.usage.memory).toMatch(/^\d+Ki$/);
  await waitFor(
    async () =>
      (await api.get<{ spec: { replicas: number } }>(`/apis/apps/v1/namespaces/${namespace}/deployments/busy`)).spec
        .replicas === 2,
    { what: 'a second replica, by the autoscaler', seconds: 150 },
  );
});
