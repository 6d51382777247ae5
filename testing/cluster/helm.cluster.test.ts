import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { temporaryFolder } from '../src/folder.ts';
import { waitFor } from '../src/wait-for.ts';
import { command } from './command.ts';
import { givenCluster, type GivenCluster } from './given-cluster.ts';
import { testNamespace } from './namespace.ts';
import { httpDeployment, isReady, type Pod } from './workloads.ts';

let cluster: GivenCluster;
beforeAll(async () => {
  cluster = await givenCluster();
});
afterAll(() => cluster.api.close());

test('helm installs a chart, waits until its pods are ready, and uninstalls it', async ({ skip }) => {
  if (!cluster.has('helm', 'the test of charts')) skip();
  const { api, image, kubeconfig } = cluster;
  const namespace = await testNamespace(api);
  const chart = await temporaryFolder();
  await mkdir(path.join(chart, 'templates'));
  await writeFile(path.join(chart, 'Chart.yaml'), 'apiVersion: v2\nname: charted\nversion: 0.1.0\n');
  await writeFile(path.join(chart, 'values.yaml'), 'replicas: 1\n');
  const object = { apiVersion: 'apps/v1', kind: 'Deployment', ...(httpDeployment('charted', 1, image) as object) };
  const template = JSON.stringify(object).replace('"replicas":1', '"replicas":{{ .Values.replicas }}');
  await writeFile(path.join(chart, 'templates', 'deployment.yaml'), template);

  const helm = (...args: string[]) => command('helm', [...args, '--kubeconfig', kubeconfig, '--namespace', namespace]);
  const ready = async () =>
    (await api.get<{ items: Pod[] }>(`/api/v1/namespaces/${namespace}/pods`)).items.filter(isReady);
  await helm('install', 'first', chart, '--set', 'replicas=2', '--wait', '--timeout', '50s');
  expect(await ready()).toHaveLength(2);
  await helm('uninstall', 'first', '--wait', '--timeout', '50s');
  // It waits until the deployment is gone; its pods follow.
  await waitFor(async () => (await ready()).length === 0, { what: 'the pods to go', seconds: 30 });
});
