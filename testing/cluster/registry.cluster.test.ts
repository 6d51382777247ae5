import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cannotRun } from '../src/chromium.ts';
import { temporaryFolder } from '../src/folder.ts';
import { waitFor } from '../src/wait-for.ts';
import { givenCluster, type GivenCluster } from './given-cluster.ts';
import { nodeImage } from './images.ts';
import { testNamespace } from './namespace.ts';
import { podTemplate, type Pod } from './workloads.ts';

let cluster: GivenCluster;
beforeAll(async () => {
  cluster = await givenCluster();
});
afterAll(() => cluster.api.close());

test('nodes pull an image by its digest, and say of one that does not exist that it does not', async ({ skip }) => {
  if (cluster.kind === 'foreign') {
    cannotRun('the test of the registry', 'the cluster in SLIPWAY_TEST_KUBECONFIG has none that we know');
    skip();
  }
  const { api } = cluster;
  const namespace = await testNamespace(api);
  const pods = `/api/v1/namespaces/${namespace}/pods`;
  const folder = await temporaryFolder();
  const greeting = path.join(folder, 'greeting');
  await writeFile(greeting, 'hello from an image\n');
  const { name, tag, digest } = await cluster.pushImage(
    await nodeImage('shop/web:7', { '/greeting': greeting }),
    folder,
  );
  expect({ name, tag }).toEqual({ name: expect.stringMatching(/^127\.0\.0\.1:\d+\/shop\/web$/), tag: '7' });

  const pod = (image: string) => {
    const template = podTemplate('reads', { image, command: ['cat', '/greeting'] });
    return { ...template, spec: { ...(template['spec'] as object), restartPolicy: 'Never' } };
  };
  await api.create(pods, { ...pod(`${name}@${digest}`), metadata: { name: 'reads' } });
  await api.create(pods, { ...pod(`${name}:8`), metadata: { name: 'misses' } });
  const phase = async () => (await api.get<Pod>(`${pods}/reads`)).status.phase;
  await waitFor(async () => (await phase()) === 'Succeeded', { what: 'the pod to end', seconds: 90 });
  expect(await api.text(`${pods}/reads/log`)).toBe('hello from an image\n');
  const reason = async () =>
    (await api.get<Pod>(`${pods}/misses`)).status.containerStatuses?.[0]?.state.waiting?.reason;
  await waitFor(async () => /^(ErrImagePull|ImagePullBackOff)$/.test((await reason()) ?? ''), {
    what: 'the kubelet to say that the image can not be pulled',
    seconds: 60,
  });
});
