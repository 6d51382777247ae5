import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitFor } from '../src/wait-for.ts';
import { givenCluster, type GivenCluster } from './given-cluster.ts';
import { testNamespace } from './namespace.ts';
import { job, type Container, type Pod } from './workloads.ts';

let cluster: GivenCluster;
beforeAll(async () => {
  cluster = await givenCluster();
});
afterAll(() => cluster.api.close());

/** Runs a job and waits for the end of its only pod. */
async function runJob(namespace: string, name: string, container: Omit<Container, 'image'>): Promise<Pod> {
  const { api, image } = cluster;
  await api.create(`/apis/batch/v1/namespaces/${namespace}/jobs`, job(name, { image, ...container }));
  return waitFor(
    async () => {
      const { items } = await api.get<{ items: Pod[] }>(
        `/api/v1/namespaces/${namespace}/pods?labelSelector=job-name%3D${name}`,
      );
      return items.find(({ status }) => status.phase === 'Succeeded' || status.phase === 'Failed');
    },
    { what: `the pod of ${name} to end`, seconds: 90 },
  );
}

interface Job {
  status: { succeeded?: number; failed?: number; conditions?: { type: string; status: string; reason?: string }[] };
}

async function endOf(namespace: string, name: string): Promise<Job['status']> {
  return waitFor(
    async () => {
      const { status } = await cluster.api.get<Job>(`/apis/batch/v1/namespaces/${namespace}/jobs/${name}`);
      const ended = status.conditions?.some(({ type }) => type === 'Complete' || type === 'Failed');
      return ended === true ? status : null;
    },
    { what: `the job ${name} to end`, seconds: 60 },
  );
}

test('a job runs to its end, and its output can be read', async () => {
  const namespace = await testNamespace(cluster.api);
  const pod = await runJob(namespace, 'sums', { command: ['node', '-p', '[1, 2, 3].reduce((a, b) => a + b)'] });
  expect(await cluster.api.text(`/api/v1/namespaces/${namespace}/pods/${pod.metadata.name}/log`)).toBe('6\n');
  expect(await endOf(namespace, 'sums')).toMatchObject({ succeeded: 1 });
});

test('a container over its memory limit is killed, and the reason is reported', async () => {
  const namespace = await testNamespace(cluster.api);
  const script = 'const kept = []; for (;;) kept.push(Buffer.alloc(8 << 20, 1));';
  const resources = { limits: { memory: '96Mi', cpu: '1' }, requests: { memory: '96Mi', cpu: '10m' } };
  const pod = await runJob(namespace, 'eats', { command: ['node', '-e', script], resources });
  const terminated = pod.status.containerStatuses?.[0]?.state.terminated;
  expect(terminated).toMatchObject({ reason: 'OOMKilled', exitCode: 137 });
  expect(await endOf(namespace, 'eats')).toMatchObject({ failed: 1 });
});
