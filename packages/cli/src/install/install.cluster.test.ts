import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { stringify } from 'yaml';
import { cannotRun, startProcess, temporaryFolder, waitFor } from '@slipway/testing';
import { givenCluster, testNamespace, type GivenCluster } from '@slipway/testing/cluster';
import { slipway } from '../test/slipway.ts';
import { slipwayImage } from './image-under-test.ts';

/** Slipway installed on a real cluster: by the real Helm, and by `slipway install`. */

const chart = join(import.meta.dirname, '..', '..', '..', '..', 'chart');
const READY_SECONDS = 150;
const ASKS =
  'fetch(process.argv[1], { signal: AbortSignal.timeout(10_000) }).then(async (a) => console.log(await a.text()), () => console.log("refused"))';

let cluster: GivenCluster;
let image: string;

beforeAll(async () => {
  cluster = await givenCluster();
  if (cluster.kind === 'foreign') return;
  const options = await slipwayImage();
  image = options.name;
  await cluster.addImage(options, await temporaryFolder());
}, 300_000);
afterAll(() => cluster.api.close());

test(
  'helm installs, upgrades with the same token and data, and leaves only the volume',
  { timeout: 400_000 },
  async ({ skip }) => {
    if (!cluster.has('helm', 'the installation by Helm')) skip();
    if (isForeign('the installation by Helm')) skip();
    const place = await preparedPlace();
    const { namespace } = place;
    const values = await valuesFile(place);
    const helm = (...args: string[]) => kubeTool('helm', [...args, '--namespace', namespace]);

    const notes = await helm(
      'install',
      'slipway',
      chart,
      '--values',
      values,
      '--wait',
      '--timeout',
      `${READY_SECONDS}s`,
    );
    expect(notes).toContain('kubectl port-forward service/slipway 7300:80');
    expect(await readyReplicas(namespace)).toBe(1);
    expect(await askFrom('an environment', namespace)).toBe('{"status":"ok"}\n');
    if (cluster.has('network policies', 'who may not reach Slipway'))
      expect(await askFrom('a stranger', namespace)).toBe('refused\n');

    const token = await tokenOf(namespace);
    const first = await forwarded(namespace, token);
    expect((await slipway(['status', '--json'], first)).stdout).toBe('{"apps":[]}\n');
    await waitForOwnCluster(first);
    await pushApp(first, token);
    // Data of the database that has to be there after the pod was replaced.
    expect((await slipway(['token', 'create', 'kept', '--role', 'viewer'], first)).code).toBe(0);

    await helm(
      'upgrade',
      'slipway',
      chart,
      '--values',
      values,
      '--set',
      'cluster.domain=example.com',
      '--wait',
      '--timeout',
      `${READY_SECONDS}s`,
    );
    expect(await tokenOf(namespace)).toBe(token);
    const second = await forwarded(namespace, token);
    expect((await slipway(['token', 'list'], second)).stdout).toContain('kept');
    expect((await slipway(['status'], second)).stdout).toMatch(/^hello\s/m);
    await waitFor(
      async () => (await slipway(['cluster', 'list', '--json'], second)).stdout.includes('"domain":"example.com"'),
      {
        what: 'the changed settings of the cluster',
        seconds: 60,
      },
    );

    await helm('uninstall', 'slipway', '--wait', '--timeout', '90s');
    // Helm does not wait for what its objects have made.
    await waitFor(async () => !(await left(namespace)).includes('pods/slipway-0'), {
      what: 'the pod to go',
      seconds: 90,
    });
    expect(await left(namespace)).toEqual(['persistentvolumeclaims/data-slipway-0']);
  },
);

test(
  'slipway install applies what it prints, again with the same token; Slipway outlives its database and its pod',
  { timeout: 300_000 },
  async ({ skip }) => {
    if (isForeign('the installation by slipway install')) skip();
    const place = await preparedPlace();
    const { namespace } = place;
    const install = ['install', '--namespace', namespace, '--values', await valuesFile(place)];
    const apply = [...install, '--apply', '--kubeconfig', cluster.kubeconfig];

    const applied = await slipway(apply);
    onTestFinished(async () => {
      for (const kind of ['clusterroles', 'clusterrolebindings'])
        await cluster.api.delete(`/apis/rbac.authorization.k8s.io/v1/${kind}/${namespace}-slipway`);
    });
    expect(applied).toMatchObject({ code: 0, stderr: '' });
    await waitFor(async () => (await readyReplicas(namespace)) === 1, {
      what: 'the pod to be ready',
      seconds: READY_SECONDS,
    });
    const token = await tokenOf(namespace);
    const home = await forwarded(namespace, token);
    expect((await slipway(['status', '--json'], home)).stdout).toBe('{"apps":[]}\n');
    await waitForOwnCluster(home);

    expect((await slipway(['token', 'create', 'kept', '--role', 'viewer'], home)).code).toBe(0);
    const kept = async (at: LoggedIn) => (await slipway(['token', 'list'], at)).stdout.includes('kept');

    // PostgreSQL is killed: its container starts again and recovers, and the control plane goes on.
    const kill = 'read pid < /var/lib/slipway/data/postgres/data/postmaster.pid; kill -9 "$pid"';
    await kubeTool('kubectl', ['exec', 'slipway-0', '-n', namespace, '-c', 'postgres', '--', 'sh', '-c', kill]);
    await waitFor(async () => (await kept(home)) && (await restartsOfPostgres(namespace)) === 1, {
      what: 'PostgreSQL to be started again, with its data',
      seconds: 60,
    });

    // The pod goes, as for a drain: another one takes its place, and has nothing to do for the cluster.
    await kubeTool('kubectl', ['delete', 'pod', 'slipway-0', '-n', namespace]);
    await waitFor(async () => (await readyReplicas(namespace)) === 1, { what: 'the next pod', seconds: READY_SECONDS });
    const next = await forwarded(namespace, token);
    expect(await kept(next)).toBe(true);
    const { stdout: events } = await slipway(['events'], next);
    expect(events.match(/may be the engine of environments/g)).toHaveLength(1);

    expect((await slipway(apply)).code).toBe(0);
    expect(await tokenOf(namespace)).toBe(token);
    // What is printed is what is applied: kubectl sees nothing to change.
    const printed = join(await temporaryFolder(), 'printed.yaml');
    await writeFile(printed, (await slipway([...install, '--admin-token-secret', 'slipway-admin-token'])).stdout);
    expect(
      await kubeTool('kubectl', ['diff', '--server-side', '--field-manager', 'slipway-install', '--filename', printed]),
    ).toBe('');
  },
);

interface Place {
  namespace: string;
  /** Class of the volume that was made for it, because the cluster makes none by itself. */
  storageClass: string;
  ingressClass: string;
}

async function preparedPlace(): Promise<Place> {
  const { api } = cluster;
  const namespace = await testNamespace(api);
  const node = (await api.get<{ items: { metadata: { name: string } }[] }>('/api/v1/nodes')).items[0]?.metadata.name;
  const folder = join(await temporaryFolder(), 'volume');
  await mkdir(folder);
  const create = async (path: string, spec: object) => {
    await api.create(path, { metadata: { name: namespace }, spec });
    onTestFinished(() => api.delete(`${path}/${namespace}`));
  };
  // A local volume and no hostPath: of that the kubelet does not give the group its folder.
  await create('/api/v1/persistentvolumes', volume(folder, namespace, String(node)));
  await create('/apis/networking.k8s.io/v1/ingressclasses', { controller: 'slipway.test/none' });
  return { namespace, storageClass: namespace, ingressClass: namespace };
}

function volume(folder: string, storageClassName: string, node: string): object {
  return {
    capacity: { storage: '1Gi' },
    accessModes: ['ReadWriteOnce'],
    persistentVolumeReclaimPolicy: 'Retain',
    storageClassName,
    local: { path: folder },
    nodeAffinity: {
      required: {
        nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [node] }] }],
      },
    },
  };
}

async function valuesFile({ namespace, storageClass, ingressClass }: Place): Promise<string> {
  const file = join(await temporaryFolder(), 'values.json');
  const small = { requests: { cpu: '10m', memory: '64Mi' } };
  await writeFile(
    file,
    JSON.stringify({
      image,
      storage: { size: '500Mi', className: storageClass },
      cluster: { ingress: { namespace, name: ingressClass } },
      resources: { server: small, agent: small, postgres: small },
    }),
  );
  return file;
}

function isForeign(what: string): boolean {
  if (cluster.kind === 'ours') return false;
  cannotRun(what, 'no image can be given to the cluster in SLIPWAY_TEST_KUBECONFIG');
  return true;
}

async function kubeTool(program: 'helm' | 'kubectl', args: string[]): Promise<string> {
  return (await promisify(execFile)(program, ['--kubeconfig', cluster.kubeconfig, ...args])).stdout;
}

async function readyReplicas(namespace: string): Promise<number> {
  const path = `/apis/apps/v1/namespaces/${namespace}/statefulsets/slipway`;
  return (await cluster.api.get<{ status: { readyReplicas?: number } }>(path)).status.readyReplicas ?? 0;
}

async function restartsOfPostgres(namespace: string): Promise<number | undefined> {
  const { status } = await cluster.api.get<{
    status: { initContainerStatuses?: { name: string; restartCount: number }[] };
  }>(`/api/v1/namespaces/${namespace}/pods/slipway-0`);
  return status.initContainerStatuses?.find(({ name }) => name === 'postgres')?.restartCount;
}

async function tokenOf(namespace: string): Promise<string> {
  const path = `/api/v1/namespaces/${namespace}/secrets/slipway-admin-token`;
  const { data } = await cluster.api.get<{ data: { token: string } }>(path);
  return Buffer.from(data.token, 'base64').toString();
}

interface LoggedIn {
  home: string;
  url: string;
}

/** Reaches it as the notes say, and logs in. @returns the home that is logged in. */
async function forwarded(namespace: string, token: string): Promise<LoggedIn> {
  const args = ['port-forward', 'service/slipway', ':80', '--namespace', namespace, '--kubeconfig', cluster.kubeconfig];
  const forwarding = startProcess('kubectl', args);
  const [, port] = await forwarding.waitForOutput(/127\.0\.0\.1:(\d+)/, 30);
  const home = await temporaryFolder();
  const url = `http://127.0.0.1:${port}`;
  expect(await slipway(['login', url], { home, input: token })).toMatchObject({ code: 0 });
  return { home, url };
}

/** Builds and checks run in the pod, and see nothing that is not theirs. */
async function pushApp({ home, url }: LoggedIn, token: string): Promise<void> {
  const folder = await temporaryFolder();
  const secrets = [
    '/var/run/secrets/kubernetes.io',
    '/var/lib/slipway/data/postgres',
    '/var/lib/slipway/data/repositories',
  ];
  await writeFile(
    join(folder, 'slipway.yaml'),
    stringify({
      app: 'hello',
      services: { web: { build: 'echo built > built', run: 'node web.js' } },
      checks: { theirs: { run: `cat built && ! ls ${secrets.join(' ')} /etc/slipway` } },
    }),
  );
  const git = (...args: string[]) => promisify(execFile)('git', args, { cwd: folder });
  await git('init', '--quiet', '--initial-branch', 'main');
  await git('add', '--all');
  await git('-c', 'user.name=test', '-c', 'user.email=test@example.com', 'commit', '--quiet', '--message', 'first');
  const target = new URL('/git/hello.git', url);
  Object.assign(target, { username: 'slipway', password: token });
  await git('push', '--quiet', target.href, 'main');
  const events = async () => (await slipway(['events', 'hello'], { home })).stdout;
  await waitFor(async () => /Check theirs (passed|failed)/.test(await events()), {
    what: 'the check to end',
    seconds: 60,
  });
  expect(await events()).toContain('Check theirs passed');
}

async function waitForOwnCluster(at: { home: string }): Promise<void> {
  await waitFor(
    async () => (await slipway(['cluster', 'list', '--json'], at)).stdout.includes('"access":"in-cluster"'),
    {
      what: 'the cluster to be an engine',
      seconds: 60,
    },
  );
}

/** What a pod elsewhere gets from the Service: by its name, on its port, through the policy. */
async function askFrom(who: 'an environment' | 'a stranger', namespace: string): Promise<string> {
  const { api } = cluster;
  const from = await testNamespace(api);
  if (who === 'an environment')
    await api.patch(`/api/v1/namespaces/${from}`, { metadata: { labels: { 'slipway.dev/environment': from } } });
  await api.create(`/api/v1/namespaces/${from}/pods`, {
    metadata: { name: 'asks' },
    spec: {
      restartPolicy: 'Never',
      containers: [
        {
          name: 'asks',
          image: cluster.image,
          imagePullPolicy: 'IfNotPresent',
          command: ['node', '-e', ASKS, `http://slipway.${namespace}.svc.cluster.local/healthz`],
        },
      ],
    },
  });
  const phase = async () =>
    (await api.get<{ status: { phase: string } }>(`/api/v1/namespaces/${from}/pods/asks`)).status.phase;
  await waitFor(async () => /^(Succeeded|Failed)$/.test(await phase()), { what: 'the asking pod to end', seconds: 90 });
  return await api.text(`/api/v1/namespaces/${from}/pods/asks/log`);
}

/** Objects with the labels of the installation, wherever they are. */
async function left(namespace: string): Promise<string[]> {
  const selector = '?labelSelector=app.kubernetes.io%2Fname%3Dslipway,app.kubernetes.io%2Finstance%3Dslipway';
  const kinds = {
    [`/api/v1/namespaces/${namespace}`]: ['pods', 'services', 'secrets', 'serviceaccounts', 'persistentvolumeclaims'],
    [`/apis/apps/v1/namespaces/${namespace}`]: ['statefulsets'],
    [`/apis/networking.k8s.io/v1/namespaces/${namespace}`]: ['networkpolicies'],
  };
  const found: string[] = [];
  for (const [root, plurals] of Object.entries(kinds))
    for (const plural of plurals) {
      const { items } = await cluster.api.get<{ items: { metadata: { name: string } }[] }>(
        `${root}/${plural}${selector}`,
      );
      found.push(...items.map(({ metadata }) => `${plural}/${metadata.name}`));
    }
  for (const kind of ['clusterroles', 'clusterrolebindings']) {
    const path = `/apis/rbac.authorization.k8s.io/v1/${kind}/${namespace}-slipway`;
    if ((await cluster.api.send('GET', path)).status !== 404) found.push(`${kind}/${namespace}-slipway`);
  }
  return found;
}
