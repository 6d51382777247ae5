import { readdirSync, statSync } from 'node:fs';
import { mkdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { JobRun } from '@slipway/engine';
import { waitFor } from '@slipway/testing';
import { expect, onTestFinished, test } from 'vitest';
import { agentUnderTest } from './agent-under-test.ts';

function job(id: string, run: string, folder: string, access: JobRun['access']): JobRun {
  return { id, environment: null, run, folder, access, variables: {}, timeoutSeconds: 30, memory: null };
}

test('what a job wrote is sealed at its end: an instance started from it can change nothing', async () => {
  const under = await agentUnderTest();
  onTestFinished(async () => await under.dispose());
  const folder = await under.artifact({ 'seed.txt': 'x' });
  const build = job('build', 'mkdir made && echo y >made/by-build.txt', folder, 'read-write');
  expect(await under.engine.run(build)).toMatchObject({ outcome: 'succeeded' });
  for (const part of ['.', 'seed.txt', 'made', 'made/by-build.txt']) {
    const { mode, uid } = statSync(join(folder, part));
    expect({ part, writable: mode & 0o222, uid }).toEqual({ part, writable: 0, uid: process.getuid?.() });
  }
});

test('results are kept for a day, and at most the newest thousand', async () => {
  const under = await agentUnderTest();
  onTestFinished(async () => await under.dispose());
  const jobs = join(under.folder, 'jobs');
  const seconds = Date.now() / 1000;
  const keep = async (id: string, ageSeconds: number): Promise<void> => {
    await mkdir(join(jobs, id), { recursive: true });
    const path = join(jobs, id, 'result.json');
    await writeFile(path, JSON.stringify({ id, outcome: 'succeeded' }));
    await utimes(path, seconds - ageSeconds, seconds - ageSeconds);
  };
  const day = 24 * 3600;
  await keep('yesterday', day + 60);
  await keep('almost', day - 60);
  const first = job('first', 'true', await under.artifact({ 'seed.txt': 'x' }), 'read-only');
  await under.engine.run(first);
  // What is too old goes after the answer has been given.
  await waitFor(() => !readdirSync(jobs).includes('yesterday'), { what: 'the result of yesterday to go' });
  expect(readdirSync(jobs).sort()).toEqual(['almost', 'first']);
  // An answer is still the first one's; only what was pruned would run again.
  expect(await under.engine.run({ ...first, id: 'almost' })).toEqual({ id: 'almost', outcome: 'succeeded' });
  await Promise.all(Array.from({ length: 999 }, async (_, index) => await keep(`old-${index}`, 1000 + index)));
  await under.engine.run({ ...first, id: 'last' });
  await waitFor(() => readdirSync(jobs).length <= 1000, { what: 'the oldest results to go' });
  const kept = readdirSync(jobs);
  expect(kept).toHaveLength(1000);
  expect(kept).toEqual(expect.arrayContaining(['first', 'last', 'old-0', 'old-997']));
  expect(kept).not.toContain('old-998');
  expect(kept).not.toContain('almost');
});
