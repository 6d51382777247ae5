import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, symlink } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { cannotRun } from '../src/chromium.ts';
import { temporaryFolder } from '../src/folder.ts';
import { startProcess, type TestProcess } from '../src/process.ts';
import { waitFor } from '../src/wait-for.ts';
import { Api } from './api.ts';
import { mountedHierarchies } from './cgroups.ts';
import { command } from './command.ts';
import { membersOf, stillRunning, type NodeRecord } from './members.ts';
import { NODE_IMAGE } from './images.ts';
import { preparedParts } from './parts.ts';
import { isReady, podTemplate, type Pod } from './workloads.ts';

/** A second cluster, beside the one that the other tests use, ends in each of the ways a cluster can end. */
const foreign = process.env['SLIPWAY_TEST_CLUSTER_FOLDER'] === undefined;
if (foreign) cannotRun('the tests of how a cluster stops', 'SLIPWAY_TEST_KUBECONFIG names one that is not ours');

const program = path.join(import.meta.dirname, 'hold.ts');
const hold = (env: Record<string, string> = {}) =>
  startProcess(process.execPath, [program, '1', '--plain'], { env: { SLIPWAY_TEST_KUBECONFIG: undefined, ...env } });

/** What a running cluster consists of, by names that are left when it is gone. */
interface Traces {
  folder: string;
  record: NodeRecord;
  pids: number[];
  bridge: string;
}

async function runningCluster(): Promise<{ holding: TestProcess; traces: Traces }> {
  const holding = hold();
  const [, kubeconfig = ''] = await holding.waitForOutput(/export KUBECONFIG=(\S+)/, 150);
  const folder = path.dirname(kubeconfig);
  const record = JSON.parse(await readFile(path.join(folder, 'node1', 'record.json'), 'utf8')) as NodeRecord;
  await runPod(kubeconfig);
  const [, bridge = ''] = /one node on (slipway\d)/.exec(holding.output()) ?? [];
  return { holding, traces: { folder, record, pids: await membersOf(record), bridge } };
}

async function runPod(kubeconfig: string): Promise<void> {
  const api = await Api.open(kubeconfig);
  const pod = podTemplate('stays', { image: NODE_IMAGE, command: ['sleep', '3600'] });
  await api.create('/api/v1/namespaces/default/pods', { ...pod, metadata: { name: 'stays' } });
  await waitFor(async () => isReady(await api.get<Pod>('/api/v1/namespaces/default/pods/stays')), {
    what: 'a pod to run',
    seconds: 60,
  });
  api.close();
}

/** Also those that are in none of the node's namespaces. */
async function processesNaming(folder: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  return lines.filter((line) => line.includes(folder)).map((line) => line.replaceAll('\0', ' '));
}

async function whatIsLeft({ folder, record, pids, bridge }: Traces): Promise<string[]> {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  const links = (await command('ip', ['-brief', 'link'])).split('\n');
  const routes = (await command('ip', ['route'])).split('\n');
  const groups = (await mountedHierarchies()).map((hierarchy) => path.join(hierarchy.folder, record.cgroup));
  return [
    ...(existsSync(folder) ? [folder, ...(await readdir(folder))] : []),
    ...(await stillRunning(pids)).map((pid) => `process ${pid}`),
    ...(await membersOf(record)).map((pid) => `process ${pid}`),
    ...(await processesNaming(folder)),
    ...mounts.filter((mount) => mount.includes(folder)),
    ...[...links, ...routes].filter((line) => line.includes(bridge)),
    ...groups.filter((group) => existsSync(group)),
  ];
}

test.skipIf(foreign)('Ctrl-C leaves no process, mount, bridge, route, control group or folder behind', async () => {
  const { holding, traces } = await runningCluster();
  expect(traces.bridge).toMatch(/^slipway\d$/);
  expect(traces.pids.length).toBeGreaterThan(9); // five components, etcd, containerd, two shims, and what they hold
  expect(await whatIsLeft(traces)).not.toEqual([]);
  holding.signal('SIGINT');
  expect(await holding.exited).toEqual({ code: 0, signal: null });
  expect(await whatIsLeft(traces)).toEqual([]);
});

test.skipIf(foreign)('a cluster whose run was killed is removed by the next start', async () => {
  const { holding, traces } = await runningCluster();
  holding.signal('SIGKILL');
  await holding.exited;
  expect((await membersOf(traces.record)).length).toBeGreaterThan(9);

  const next = hold();
  await next.waitForOutput(/removing the test cluster of a run that was killed/, 60);
  await next.waitForOutput(/making one node/, 60);
  // Those who were killed with another, by the kernel, may take a moment. The bridge may be the next one's.
  await waitFor(async () => (await whatIsLeft(traces)).every((trace) => trace.includes(traces.bridge)), {
    what: 'the rest of the killed cluster to go',
  });
  next.signal('SIGINT');
  expect((await next.exited).code).toBe(130);
  expect(await whatIsLeft(traces)).toEqual([]);
});

test.skipIf(foreign)('a start that fails says which part failed, and leaves nothing behind', async () => {
  // An API server that ends at once; everything else is real.
  const { programs } = await preparedParts(() => undefined, 'plain');
  const cache = await temporaryFolder();
  const broken = path.join(cache, 'slipway', path.basename(programs));
  await mkdir(broken, { recursive: true });
  for (const name of await readdir(programs))
    await symlink(name === 'kube-apiserver' ? '/bin/false' : path.join(programs, name), path.join(broken, name));

  const failing = hold({ XDG_CACHE_HOME: cache });
  expect((await failing.exited).code).toBe(1);
  expect(failing.output()).toMatch(/kube-apiserver ended with 1 before .*The end of .*kube-apiserver\.log/s);
  const [, bridge = 'none'] = /one node on (slipway\d)/.exec(failing.output()) ?? [];
  const [, folder = 'none'] = /The end of (\S+)\/logs/.exec(failing.output()) ?? [];
  expect(existsSync(folder)).toBe(false);
  expect(await command('ip', ['-brief', 'link'])).not.toContain(bridge);
});
