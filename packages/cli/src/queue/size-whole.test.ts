import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort, temporaryFolder, waitFor } from '@slipway/testing';
import { expect, onTestFinished, test } from 'vitest';
import { slipway } from '../test/slipway.ts';
import { trustedJson } from '../trusted-json.ts';
import type { UpInfo } from '../up/supervise.ts';
import type { ApiQueue, ApiTask } from '../api.ts';
import type { SizeAnswer } from './size-text.ts';

/** Sizing as a user sees it: an app that runs, tasks that really use what is measured, and the commands. */

const queue = 'album/staging/develop';
const mebibyte = 1024 ** 2;
const lights = 110;
const heavies = 2;

const yaml = `app: album
workers:
  develop:
    run: sh develop.sh
    normal: { memory: 1Gi }
    fallback: { memory: 2Gi }
    replicas: 16
environments:
  staging: { branch: main }
`;

/**
 * A payload is [MiB, seconds]: what a task holds, and for how long. `tail` keeps all of a text without an end of line, and can't write it
 * while nobody reads. NODE_OPTIONS tells the limit of the attempt.
 */
const develop = `IFS='[],' read -r _ mebibytes seconds _ < "$SLIPWAY_PAYLOAD"
printf '{"options":"%s"}' "$NODE_OPTIONS" > "$SLIPWAY_OUTPUT/result.json"
[ "$mebibytes" = 0 ] && exec sleep "$seconds"
head -c "\${mebibytes}M" /dev/zero | tail | { head -c 1 > /dev/null; sleep "$seconds"; }
`;

test('tasks that really ran give a proposal, and applying it changes what the next attempts get', async () => {
  const info = await startUp();
  await pushApp(info);
  const ids = await enqueue(info, [
    ...Array.from({ length: lights }, () => [0, 0.6]),
    ...Array.from({ length: heavies }, () => [400, 0.3]),
  ]);
  expect(ids).toHaveLength(lights + heavies);
  const { proposal, present } = await whenMeasured(info.home, ids.length);
  expect(present.normal.memoryBytes).toBe(1024 * mebibyte);
  if (proposal.verdict !== 'split') throw new Error(`no split: ${JSON.stringify(proposal)}`);
  expect(proposal.sizes.normal.memoryBytes).toBe(64 * mebibyte);
  // 400 MiB and a little for the shell, 15 % more, in steps of 64.
  expect(proposal.sizes.fallback.memoryBytes).toBe(512 * mebibyte);
  expect(proposal.samples).toEqual({ finished: ids.length, unfinished: 0, ignored: 0 });
  expect(proposal.fallbackShare).toBeCloseTo(heavies / ids.length, 9);

  const { stdout } = await slipway(['queue', 'size', queue], { home: info.home });
  expect(stdout).toMatch(/^SIZES +NORMAL +FALLBACK +1000 TASKS +PROPOSAL SAVES\n/);
  expect(stdout).toMatch(/\nproposed +0\.25 CPU, 64 MiB, \d+ s +[\d.]+ CPU, 512 MiB, \d+ s +\$[\d.e-]+\n/);
  expect(stdout).toMatch(/\nin force +0\.25 CPU, 1 GiB, 60 s +0\.25 CPU, 2 GiB, 600 s +\$[\d.e-]+ +[\d.]+ %\n/);
  expect(stdout).toMatch(/\none big pool +[\d.]+ CPU, 512 MiB, .* [1-9][\d.]* %\n/);

  const applied = await slipway(['queue', 'size', queue, '--apply'], { home: info.home });
  expect(applied).toMatchObject({ code: 0, stderr: '' });
  expect(applied.stdout).toMatch(/has new sizes: normal 0\.25 CPU, 64 MiB, .*; fallback .* 512 MiB, /);
  // The runner that was there may still take one or two.
  await waitFor(async () => heapOf(await done(info, [0, 0])) === 0.75 * 64, {
    what: 'an attempt with 64 MiB',
    seconds: 20,
  });
  const heavy = await done(info, [400, 0]);
  expect(heavy).toMatchObject({ lane: 'fallback', attempts: 2 });
  expect(heapOf(heavy)).toBe(0.75 * 512);
  // Of a task that is done only its last attempt is kept; the queue counts how the others ended.
  await waitFor(async () => (await shown<ApiQueue>(info, [])).lanes[0]?.counts.ooms === 1, {
    what: 'the attempt with 64 MiB to be counted as out of memory',
  });
}, 90_000);

async function startUp(): Promise<UpInfo> {
  const home = await temporaryFolder();
  const ports = ['--port', String(await freePort()), '--router-port', String(await freePort())];
  onTestFinished(async () => void (await slipway(['down'], { home })));
  const { stdout, stderr } = await slipway(['up', '--detach', '--json', ...ports], { home });
  expect(stderr).toBe('');
  return trustedJson<UpInfo>(stdout);
}

async function pushApp({ home, url, token }: UpInfo): Promise<void> {
  const folder = join(home, 'album');
  await mkdir(folder);
  await writeFile(join(folder, 'slipway.yaml'), yaml);
  await writeFile(join(folder, 'develop.sh'), develop);
  const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_TERMINAL_PROMPT: '0' };
  const git = async (...args: string[]): Promise<{ stderr: string }> =>
    await promisify(execFile)('git', ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.com', ...args], {
      cwd: folder,
      env,
    });
  await git('init', '-q', '-b', 'main');
  await git('add', '-A');
  await git('commit', '-qm', 'First');
  const remote = url.replace('http://', `http://x:${token}@`);
  expect((await git('push', `${remote}/git/album.git`, 'main')).stderr).toMatch(/staging: release 1/);
}

async function enqueue({ url, token }: UpInfo, payloads: number[][]): Promise<string[]> {
  const response = await fetch(`${url}/api/queues/${queue}/tasks`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ tasks: payloads.map((payload) => ({ payload })) }),
  });
  return trustedJson<{ ids: string[] }>(await response.text()).ids;
}

/** The proposal once so many tasks are measured. Before that it is "not yet". */
async function whenMeasured(home: string, count: number): Promise<SizeAnswer> {
  let last = '';
  return await waitFor(
    async () => {
      last = (await slipway(['queue', 'size', queue, '--json'], { home })).stdout;
      const answer = trustedJson<SizeAnswer>(last);
      return answer.proposal.samples.finished >= count ? answer : null;
    },
    { what: 'all tasks to be measured', seconds: 40 },
  ).catch((error: unknown) => {
    throw new Error(`${String(error)}\nlast: ${last}`, { cause: error });
  });
}

/** Does a task. */
async function done(info: UpInfo, payload: number[]): Promise<ApiTask> {
  const [id = ''] = await enqueue(info, [payload]);
  let last: ApiTask | null = null;
  return await waitFor(
    async () => {
      last = await shown<ApiTask>(info, [id]);
      return last.state === 'done' ? last : null;
    },
    { what: `task ${id}`, seconds: 20 },
  ).catch((error: unknown) => {
    throw new Error(`${String(error)}\nlast: ${JSON.stringify(last)}`, { cause: error });
  });
}

async function shown<Answer>({ home }: UpInfo, task: string[]): Promise<Answer> {
  return trustedJson<Answer>((await slipway(['queue', 'show', queue, ...task, '--json'], { home })).stdout);
}

/** MiB of heap that Node would be told: 75 % of the limit. */
function heapOf({ result }: ApiTask): number {
  const { options = '' } = (result ?? {}) as { options?: string };
  return Number(/--max-old-space-size=(\d+)/.exec(options)?.[1]);
}
