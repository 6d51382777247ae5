import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitFor } from '../src/wait-for.ts';
import { givenCluster, type GivenCluster } from './given-cluster.ts';
import { testNamespace } from './namespace.ts';
import { httpDeployment, service } from './workloads.ts';

let cluster: GivenCluster;
beforeAll(async () => {
  cluster = await givenCluster();
});
afterAll(() => cluster.api.close());

const API = '/apis/gateway.networking.k8s.io/v1/namespaces';
const HOST = 'weights.test';

function route(weights: Record<string, number>): unknown {
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata: { name: 'weights' },
    spec: {
      parentRefs: [{ name: 'main' }],
      hostnames: [HOST],
      rules: [{ backendRefs: Object.entries(weights).map(([name, weight]) => ({ name, port: 80, weight })) }],
    },
  };
}

interface Gateway {
  status?: { addresses?: { value: string }[] };
}

/** How many of `requests` the pods of each deployment have answered; null when one failed. */
async function share(address: string, requests: number): Promise<Record<string, number> | null> {
  const counts: Record<string, number> = {};
  for (let request = 0; request < requests; request += 1) {
    const { status, text } = await httpGet(address);
    if (status !== 200) return null;
    const name = text.split('-')[0] ?? '';
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

async function httpGet(address: string): Promise<{ status: number; text: string }> {
  const { get } = await import('node:http');
  return new Promise((resolve, reject) => {
    // fetch does not let one choose the host
    get({ host: address, port: 80, path: '/', headers: { host: HOST } }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    }).on('error', reject);
  });
}

test('a route spreads requests over two services by their weights, and follows when these change', async ({ skip }) => {
  if (!cluster.has('gateway', 'the tests of the Gateway API')) skip();
  const { api } = cluster;
  const namespace = await testNamespace(api);
  for (const name of ['stable', 'canary']) {
    await api.create(`/apis/apps/v1/namespaces/${namespace}/deployments`, httpDeployment(name, 1, cluster.image));
    await api.create(`/api/v1/namespaces/${namespace}/services`, service(name));
  }
  await api.create(`${API}/${namespace}/gateways`, {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { name: 'main' },
    spec: { gatewayClassName: 'traefik', listeners: [{ name: 'web', port: 80, protocol: 'HTTP' }] },
  });
  await api.apply(`${API}/${namespace}/httproutes/weights`, route({ stable: 90, canary: 10 }));
  const address = await waitFor(
    async () => (await api.get<Gateway>(`${API}/${namespace}/gateways/main`)).status?.addresses?.[0]?.value,
    { what: 'the address of the gateway', seconds: 60 },
  );
  const asked = (weights: Record<string, number>) =>
    waitFor(
      async () => {
        const counts = await share(address, 100);
        return counts !== null && JSON.stringify(counts) === JSON.stringify(weights) ? counts : null;
      },
      { what: `requests to be spread ${JSON.stringify(weights)}`, seconds: 90 },
    );
  expect(await asked({ stable: 90, canary: 10 })).toBeTruthy();
  await api.apply(`${API}/${namespace}/httproutes/weights`, route({ stable: 0, canary: 100 }));
  expect(await asked({ canary: 100 })).toBeTruthy();
});
