import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitFor } from '../src/wait-for.ts';
import { givenCluster, type GivenCluster } from './given-cluster.ts';
import { testNamespace } from './namespace.ts';
import { httpDeployment, isReady, podTemplate, service, type Pod } from './workloads.ts';

let cluster: GivenCluster;
beforeAll(async () => {
  cluster = await givenCluster();
});
afterAll(() => cluster.api.close());

/** Asks the service `asked` again and again and writes what it got. */
const CLIENT = `
  const http = require('node:http');
  const ask = () => {
    const request = http.get({ host: process.argv[1], timeout: 500, agent: false }, (answer) => {
      console.log('answered');
      answer.resume().on('end', () => setTimeout(ask, 100));
    });
    request.on('timeout', () => request.destroy(new Error('timeout')));
    request.on('error', () => { console.log('refused'); setTimeout(ask, 100); });
  };
  ask();`;

async function lastAnswers(namespace: string, pod: string): Promise<string> {
  const lines = (await cluster.api.text(`/api/v1/namespaces/${namespace}/pods/${pod}/log?tailLines=3`)).trim();
  return [...new Set(lines.split('\n'))].join();
}

test('a network policy lets the pods in that it names, and no others', async ({ skip }) => {
  if (!cluster.has('network policies', 'the tests of network policies')) skip();
  const { api, image } = cluster;
  const namespace = await testNamespace(api);
  await api.create(`/apis/apps/v1/namespaces/${namespace}/deployments`, httpDeployment('asked', 1, image));
  await api.create(`/api/v1/namespaces/${namespace}/services`, service('asked'));
  const { spec } = await api.get<{ spec: { clusterIP: string } }>(`/api/v1/namespaces/${namespace}/services/asked`);
  for (const name of ['friend', 'stranger'])
    await api.create(`/api/v1/namespaces/${namespace}/pods`, {
      ...podTemplate(name, { image, command: ['node', '-e', CLIENT, spec.clusterIP] }),
      metadata: { name, labels: { app: name } },
    });
  await waitFor(
    async () => (await api.get<{ items: Pod[] }>(`/api/v1/namespaces/${namespace}/pods`)).items.every(isReady),
    { what: 'the three pods to be ready', seconds: 90 },
  );
  const hears = (pod: string, answer: string) =>
    waitFor(async () => (await lastAnswers(namespace, pod)) === answer, {
      what: `${pod} to be ${answer}`,
      seconds: 60,
    });
  await hears('friend', 'answered');
  await hears('stranger', 'answered');

  await api.create(`/apis/networking.k8s.io/v1/namespaces/${namespace}/networkpolicies`, {
    metadata: { name: 'friends' },
    spec: {
      podSelector: { matchLabels: { app: 'asked' } },
      policyTypes: ['Ingress'],
      ingress: [{ from: [{ podSelector: { matchLabels: { app: 'friend' } } }] }],
    },
  });
  await hears('stranger', 'refused');
  await hears('friend', 'answered');
  await api.delete(`/apis/networking.k8s.io/v1/namespaces/${namespace}/networkpolicies/friends`);
  await hears('stranger', 'answered');
  expect(await lastAnswers(namespace, 'friend')).toBe('answered');
});
