import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitFor } from '../src/wait-for.ts';
import { givenCluster, type GivenCluster } from './given-cluster.ts';
import { testNamespace } from './namespace.ts';
import { httpDeployment, job, service } from './workloads.ts';

let cluster: GivenCluster;
beforeAll(async () => {
  cluster = await givenCluster();
});
afterAll(() => cluster.api.close());

interface Deployment {
  spec: { replicas: number };
  status: { updatedReplicas?: number; availableReplicas?: number; replicas?: number };
}

async function rollOut(namespace: string, name: string, replicas: number): Promise<void> {
  await cluster.api.create(
    `/apis/apps/v1/namespaces/${namespace}/deployments`,
    httpDeployment(name, replicas, cluster.image),
  );
  await cluster.api.create(`/api/v1/namespaces/${namespace}/services`, service(name));
  await waitFor(
    async () => {
      const { status } = await cluster.api.get<Deployment>(`/apis/apps/v1/namespaces/${namespace}/deployments/${name}`);
      return status.updatedReplicas === replicas && status.availableReplicas === replicas;
    },
    { what: `${replicas} pods of ${name} to be available`, seconds: 120 },
  );
}

test('a deployment rolls out, and its service spreads HTTP requests over all of its pods', async () => {
  const { api } = cluster;
  const namespace = await testNamespace(api);
  await rollOut(namespace, 'web', 3);
  const { items } = await api.get<{ items: { metadata: { name: string } }[] }>(
    `/api/v1/namespaces/${namespace}/pods?labelSelector=app%3Dweb`,
  );
  const pods = items.map(({ metadata }) => metadata.name).sort();
  expect(pods).toHaveLength(3);

  const { spec } = await api.get<{ spec: { clusterIP: string } }>(`/api/v1/namespaces/${namespace}/services/web`);
  const ask = async () => {
    // Of a cluster elsewhere only the API can be reached, and it passes requests on.
    if (cluster.kind === 'foreign') return api.text(`/api/v1/namespaces/${namespace}/services/web:80/proxy/`);
    const answer = await fetch(`http://${spec.clusterIP}/`, { headers: { connection: 'close' } });
    return answer.text();
  };
  const seen = new Set<string>();
  await waitFor(
    async () => {
      seen.add(await ask());
      return seen.size === 3;
    },
    { what: 'an answer from each of the three pods', seconds: 60 },
  );
  expect([...seen].sort()).toEqual(pods);
});

test('a pod reaches a service by its name', async () => {
  const { api } = cluster;
  const namespace = await testNamespace(api);
  await rollOut(namespace, 'named', 1);
  const names = ['named', `named.${namespace}.svc.cluster.local`];
  const script = `Promise.all(${JSON.stringify(names)}.map(async (name) => (await fetch('http://' + name)).text()))
    .then((answers) => console.log(JSON.stringify(answers)))`;
  await api.create(
    `/apis/batch/v1/namespaces/${namespace}/jobs`,
    job('asks', { image: cluster.image, command: ['node', '-e', script] }),
  );
  const answers = await waitFor(
    async () => {
      const pods = await api.get<{ items: { metadata: { name: string }; status: { phase: string } }[] }>(
        `/api/v1/namespaces/${namespace}/pods?labelSelector=job-name%3Dasks`,
      );
      const done = pods.items.find(({ status }) => status.phase === 'Succeeded' || status.phase === 'Failed');
      return done && (await api.text(`/api/v1/namespaces/${namespace}/pods/${done.metadata.name}/log`));
    },
    { what: 'the pod that asks to end', seconds: 60 },
  );
  expect(JSON.parse(answers)).toEqual([expect.stringMatching(/^named-/), expect.stringMatching(/^named-/)]);
});
