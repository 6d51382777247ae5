import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import path from 'node:path';
import { RIGHTS, type Right } from '@slipway/kubernetes';
import { makeRunnerFolder } from '@slipway/kubernetes/runner-folder';
import { temporaryFolder, waitFor } from '@slipway/testing';
import { givenCluster, nodeImage, testGateway, type GivenCluster, type TestGateway } from '@slipway/testing/cluster';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import type { ApiCluster, ApiClusterReport, ApiDifference, ApiProtection } from './api/schemas.ts';
import { SlipwayUnderTest, type Repository } from './slipway-under-test.ts';

let cluster: GivenCluster;
let gateway: TestGateway;
beforeAll(async () => {
  cluster = await givenCluster();
  if (cluster.kind === 'ours') gateway = await testGateway(cluster);
});
afterAll(() => cluster.api.close());

/** A control plane with the cluster of the tests as the engine `kubernetes`. */
async function onCluster(settings: object = {}): Promise<SlipwayUnderTest> {
  const slipway = await SlipwayUnderTest.start({ host: gateway.machine });
  await slipway.api<ApiClusterReport>('PUT', '/clusters/kubernetes', {
    kubeconfig: await kubeconfigWith(RIGHTS),
    settings: {
      gateway: gateway.gateway,
      sources: gateway.sources,
      namespace: `slipway-${randomUUID().slice(0, 8)}`,
      controlPlaneUrl: slipway.url,
      reach: gateway.sources,
      ...settings,
    },
  });
  await waitFor(
    async () => (await slipway.api<{ clusters: ApiCluster[] }>('GET', '/clusters')).clusters[0]?.state === 'connected',
    { what: 'the cluster to be connected', seconds: 30 },
  );
  return slipway;
}

/** A kubeconfig of an account that may do what the chart lets it do, and nothing else. */
async function kubeconfigWith(rules: readonly Right[]): Promise<string> {
  const { api } = cluster;
  const name = `slipway-test-${randomUUID().slice(0, 8)}`;
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  await api.create('/api/v1/namespaces/default/serviceaccounts', { metadata: { name } });
  await api.create(`${rbac}/clusterroles`, {
    metadata: { name },
    rules: rules.map(({ apiGroups, resources, verbs }) => ({ apiGroups, resources, verbs })),
  });
  await api.create(`${rbac}/clusterrolebindings`, {
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
    subjects: [{ kind: 'ServiceAccount', name, namespace: 'default' }],
  });
  const { status } = await api.create<{ status: { token: string } }>(
    `/api/v1/namespaces/default/serviceaccounts/${name}/token`,
    { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3600 } },
  );
  const admin: unknown = parse(await readFile(cluster.kubeconfig, 'utf8'));
  const config = admin as { users: { name: string; user: object }[] };
  return stringify({ ...config, users: config.users.map((one) => ({ ...one, user: { token: status.token } })) });
}

const web = (text: string): string =>
  `import { createServer } from 'node:http';
   createServer((_, response) => response.end(${JSON.stringify(text)} + ' ' + process.env.COLOUR)).listen(8080);
   console.log('web listens');`;

interface Pushed {
  sha: string;
  image: string;
}

/** Pushes the image of a commit, and then the commit, as somebody's CI would do in some order. */
class Shop {
  readonly name: string;
  readonly #repository: Repository;
  readonly #folder: string;
  image = '';

  private constructor(name: string, repository: Repository, folder: string) {
    this.name = name;
    this.#repository = repository;
    this.#folder = folder;
  }

  static async create(slipway: SlipwayUnderTest, name: string): Promise<Shop> {
    const repository = await slipway.repository(name, { README: name });
    return new Shop(name, repository, await temporaryFolder());
  }

  get repository(): Repository {
    return this.#repository;
  }

  /** @param yaml gets the name of the image. */
  async commit(yaml: (image: string) => string, text: string, more: Record<string, string> = {}): Promise<Pushed> {
    this.image = `${cluster.registry()}/${this.name}`;
    const sha = await this.#repository.commit(
      { 'slipway.yaml': yaml(this.image), 'config/staging.yaml': 'COLOUR: blue\n', ...more },
      text,
    );
    return { sha, image: this.image };
  }

  async pushImage({ sha }: Pushed, text: string, files: Record<string, string> = {}): Promise<void> {
    const folder = path.join(this.#folder, sha);
    await mkdir(folder);
    const sources: Record<string, string> = {};
    for (const [name, content] of Object.entries({ 'web.mjs': web(text), ...files })) {
      const file = path.join(folder, name);
      await writeFile(file, content);
      sources[`/app/${name}`] = file;
    }
    await cluster.pushImage({ ...(await nodeImage(`${this.name}:${sha}`, sources)), start: '/app' }, folder);
  }
}

const plain = (image: string): string => `
app: shop
services:
  web: { run: node web.mjs, image: ${image}, port: 8080, route: /, size: { cpu: 0.05, memory: 100Mi } }
jobs:
  migrate: { run: 'node -e "console.log(process.env.COLOUR, process.env.SLIPWAY_RELEASE)"', when: before-deploy }
config: { COLOUR: red }
environments:
  staging: { branch: main, engine: kubernetes, protected: true }
  preview: { pull-requests: true, engine: kubernetes, sleep: never }
`;

async function ask(host: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    get({ host: gateway.address, port: 80, headers: { host } }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () => resolve(`${response.statusCode} ${text}`));
    }).on('error', reject);
  });
}

async function gone(namespace: string): Promise<void> {
  const isGone = async (): Promise<boolean> =>
    await cluster.api.get(`/api/v1/namespaces/${namespace}`).then(
      () => false,
      () => true,
    );
  await waitFor(isGone, { what: `the namespace ${namespace} to be gone`, seconds: 90 });
}

test('a push becomes pods that answer through the gateway; a broken one leaves them serving; a preview comes and goes', async ({
  skip,
}) => {
  if (!cluster.has('gateway', 'the tests of a control plane with a cluster')) skip();
  const slipway = await onCluster();
  const shop = await Shop.create(slipway, 'shop');
  const first = await shop.commit(plain, 'first');
  const pushed = shop.repository.push();
  // The image comes later than the commit, and is waited for.
  await slipway.until(
    'shop',
    'staging',
    'waiting for the image',
    ({ reason }) => reason === `waits for the image ${first.image}:${first.sha}`,
  );
  await shop.pushImage(first, 'first');
  await pushed;
  const staging = await slipway.until('shop', 'staging', 'ready', ({ state }) => state === 'ready', 120);
  expect(staging).toMatchObject({
    engine: 'kubernetes',
    url: 'http://staging.shop.localhost',
    services: [{ name: 'web', ready: 1, desired: 1 }],
  });
  expect(await ask('staging.shop.localhost')).toBe('200 first blue');
  const { clusters } = await slipway.api<{ clusters: ApiCluster[] }>('GET', '/clusters');
  expect(clusters).toMatchObject([{ name: 'kubernetes', state: 'connected', environments: ['shop/staging'] }]);
  expect(JSON.stringify(clusters)).not.toContain('client-key');

  expect(await slipway.events('shop')).toContainEqual(
    expect.objectContaining({ kind: 'job.passed', data: expect.objectContaining({ lastLines: ['blue 1'] }) }),
  );

  // Nothing differs; what somebody changes by hand is set back, and told with a name.
  const same = await slipway.api<ApiDifference>('GET', '/apps/shop/environments/staging/diff');
  expect(same).toEqual({ commit: first.sha, changes: [] });
  const protection = await slipway.api<ApiProtection>('POST', '/apps/shop/environments/staging/protection/verify');
  expect(protection).toMatchObject({ declared: true, namespace: 'shop--staging', verdict: 'refused' });
  await expect(cluster.api.delete('/api/v1/namespaces/shop--staging')).rejects.toThrow(/protected environment/);

  // A release that crashes: the rollout fails with the reason, the old one serves.
  const broken = await shop.commit((image) => plain(image).replace('web.mjs', 'missing.mjs'), 'broken');
  await shop.pushImage(broken, 'broken');
  const unknown = slipway.api<ApiDifference>('GET', `/apps/shop/environments/staging/diff?commit=${broken.sha}`);
  await expect(unknown).rejects.toThrow(/has no commit/);
  await shop.repository.push();
  const failing = await slipway.until('shop', 'staging', 'failing', ({ state }) => state === 'failing', 120);
  expect(failing.reason).toMatch(/^web \(3 times\): It ended by itself with exit code 1.*MODULE_NOT_FOUND/s);
  expect(await ask('staging.shop.localhost')).toBe('200 first blue');
  const { changes } = await slipway.api<ApiDifference>(
    'GET',
    `/apps/shop/environments/staging/diff?commit=${broken.sha}`,
  );
  expect(changes).toMatchObject([
    {
      change: 'changed',
      kind: 'Deployment',
      fields: expect.arrayContaining([
        {
          path: 'spec.template.spec.containers[web].command',
          before: '["sh","-c","exec node web.mjs"]',
          after: '["sh","-c","exec node missing.mjs"]',
        },
      ]),
    },
  ]);

  // A preview, from a branch.
  await shop.repository.git('checkout', '-q', '-b', 'red-shoes', first.sha);
  const preview = await shop.commit(plain, 'red shoes');
  await shop.pushImage(preview, 'shoes');
  await shop.repository.push('red-shoes');
  await slipway.until('shop', 'pr-1', 'ready', ({ state }) => state === 'ready', 120);
  expect(await ask('pr-1.shop.localhost')).toBe('200 shoes red');
  await shop.repository.push(':red-shoes');
  await waitFor(async () => (await ask('pr-1.shop.localhost')).startsWith('404'), { what: 'its end', seconds: 60 });
  await gone('shop--pr-1');

  // A protected environment is removed by whoever types its name.
  await slipway.api('DELETE', '/apps/shop/environments/staging?confirm=staging');
  await gone('shop--staging');
}, 600_000);

/** The worker says by its result in which lane it ran, and needs more memory than the normal one has if it is told to. */
const work = `
import { readFileSync, writeFileSync } from 'node:fs';
const { hog } = JSON.parse(readFileSync(process.env.SLIPWAY_PAYLOAD, 'utf8'));
const end = () => {
  writeFileSync(process.env.SLIPWAY_OUTPUT + '/result.json', JSON.stringify(process.env.SLIPWAY_LANE));
  process.exit();
};
const kept = [];
if (!hog) end();
setInterval(() => (kept.push(Buffer.alloc(10 * 2 ** 20, 1)) === 25 ? end() : null), 100);
`;

const withWorker = (image: string): string => `
app: bakery
config: { COLOUR: red }
workers:
  render:
    run: node work.mjs
    image: ${image}
    normal: { cpu: 0.05, memory: 150Mi, timeout: 60s }
    fallback: { cpu: 0.05, memory: 600Mi, timeout: 60s }
    replicas: 0..2
environments:
  staging: { branch: main, engine: kubernetes }
`;

interface Queue {
  lanes: { lane: string; slots: number; ready: number; running: number; counts: { done: number; dead: number } }[];
}

test('workers run in their own image with the runner beside it; what runs out of memory goes to the fallback lane', async ({
  skip,
}) => {
  if (!cluster.has('gateway', 'the tests of workers on a cluster')) skip();
  const folder = await temporaryFolder();
  makeRunnerFolder(path.join(folder, 'runner'));
  const files = await readdir(path.join(folder, 'runner'), { recursive: true, withFileTypes: true });
  const runner = Object.fromEntries(
    files
      .filter((entry) => entry.isFile())
      .map((entry) => path.join(entry.parentPath, entry.name))
      .map((file) => [`/opt/slipway-runner/${path.relative(path.join(folder, 'runner'), file)}`, file]),
  );
  const { name, tag } = await cluster.pushImage(await nodeImage('slipway/runner:1', runner), folder);
  const slipway = await onCluster({ runnerImage: `${name}:${tag}` });
  const bakery = await Shop.create(slipway, 'bakery');
  const commit = await bakery.commit(withWorker, 'first');
  await bakery.pushImage(commit, '', { 'work.mjs': work });
  await bakery.repository.push();
  await slipway.until('bakery', 'staging', 'ready', ({ state }) => state === 'ready', 120);

  await slipway.api('POST', '/queues/bakery/staging/render/tasks', {
    tasks: [{ payload: { hog: false } }, { payload: { hog: true } }, { payload: { hog: false } }],
  });
  const lanes = await waitFor(
    async () => {
      const queue = await slipway.api<Queue>('GET', '/queues/bakery/staging/render');
      return queue.lanes.reduce((sum, { counts }) => sum + counts.done + counts.dead, 0) === 3 ? queue.lanes : null;
    },
    { what: 'the tasks to end', seconds: 180 },
  );
  expect(lanes).toMatchObject([
    { lane: 'normal', counts: { done: 2, dead: 0 } },
    { lane: 'fallback', counts: { done: 1, dead: 0 } },
  ]);
  await waitFor(
    async () => {
      const { items } = await cluster.api.get<{ items: unknown[] }>('/api/v1/namespaces/bakery--staging/pods');
      return items.length === 0;
    },
    { what: 'the pods to be gone when there is nothing to do', seconds: 150 },
  );
  await slipway.api('DELETE', '/apps/bakery/environments/staging?confirm=staging');
  await gone('bakery--staging');
}, 600_000);

/** Asks all the time until it is stopped. */
function steadyRequests(host: string) {
  const answers = new Map<string, number>();
  const over = new AbortController();
  const asking = (async () => {
    while (!over.signal.aborted) {
      const answer = await ask(host).catch((error: unknown) => String(error));
      answers.set(answer, (answers.get(answer) ?? 0) + 1);
    }
  })();
  return {
    answers,
    async stop() {
      over.abort();
      await asking;
    },
  };
}

test('a control plane that is killed at a step of a rollout is followed by one that ends it, and no request fails', async ({
  skip,
}) => {
  if (!cluster.has('gateway', 'the test of a control plane that is killed')) skip();
  const slipway = await onCluster();
  const shop = await Shop.create(slipway, 'kiosk');
  const folder = await temporaryFolder();
  const program = path.join(folder, 'web.mjs');
  await writeFile(program, web('kiosk'));
  const { name, digest } = await cluster.pushImage(
    { ...(await nodeImage('kiosk:1', { '/app/web.mjs': program })), start: '/app' },
    folder,
  );
  const yaml = plain(`${name}@${digest}`).replace('app: shop', 'app: kiosk').replace(', protected: true', '');
  const push = async (colour: string) => {
    const files = { 'slipway.yaml': yaml, 'config/staging.yaml': `COLOUR: ${colour}\n` };
    const sha = await shop.repository.commit(files, colour);
    return { sha, pushed: shop.repository.push().catch(() => null) };
  };
  const { sha: first } = await push('blue');
  await slipway.until(
    'kiosk',
    'staging',
    'ready',
    (one) => one.state === 'ready' && one.release?.commit === first,
    120,
  );
  const requests = steadyRequests('staging.kiosk.localhost');
  for (const moment of ['release.created', 'job.started', 'job.passed', 'rollout.succeeded']) {
    const { seen } = await slipway.nextEvent(moment);
    const { sha, pushed } = await push(moment);
    await seen;
    await slipway.server?.kill();
    await slipway.startServer();
    await pushed;
    await slipway.until(
      'kiosk',
      'staging',
      `ready after a kill at ${moment}`,
      (one) => one.state === 'ready' && one.release?.commit === sha,
      120,
    );
    expect(await ask('staging.kiosk.localhost')).toBe(`200 kiosk ${moment}`);
  }
  await requests.stop();
  expect([...requests.answers.keys()].filter((answer) => !answer.startsWith('200 kiosk '))).toEqual([]);
  await slipway.api('DELETE', '/apps/kiosk/environments/staging?confirm=staging');
  await gone('kiosk--staging');
}, 600_000);
