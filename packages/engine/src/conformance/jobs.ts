import { waitFor } from '@slipway/testing';
import { expect, test } from 'vitest';
import type { JobRun, LogLine } from '../job.ts';
import { plan, release, type World } from './world.ts';

let sequence = 0;

export function job(folder: string, run: string, more: Partial<JobRun> = {}): JobRun {
  sequence += 1;
  const id = `job-${process.pid}-${Date.now()}-${sequence}`;
  return {
    id,
    environment: null,
    run,
    folder,
    access: 'read-only',
    variables: {},
    timeoutSeconds: 30,
    memory: null,
    ...more,
  };
}

export function jobTests(world: () => World): void {
  test('a job runs to its end with its variables; its output is streamed and kept in the logs', async () => {
    const { engine, watcher, app, environment } = world();
    const name = environment();
    await engine.converge(plan(name, 1, [release(1, app)]));
    await watcher.serves(name, 1);
    const lines: LogLine[] = [];
    const migrate = job(app, 'echo "$TABLE created"; ls broken.js; echo warning >&2', {
      environment: name,
      source: 'migrate',
      variables: { TABLE: 'orders' },
    });
    const result = await engine.run(migrate, { output: (line) => lines.push(line) });
    expect(result).toMatchObject({ id: migrate.id, outcome: 'succeeded', failure: null });
    expect(result.finishedAt).toBeGreaterThanOrEqual(result.startedAt);
    expect(lines.map((line) => line.line).sort()).toEqual(['broken.js', 'orders created', 'warning']);
    const kept = await Array.fromAsync(
      engine.logs({ environment: name, source: 'migrate', lines: 10, follow: false }, new AbortController().signal),
    );
    expect(kept.map((line) => line.line).sort()).toEqual(['broken.js', 'orders created', 'warning']);
  });

  test('the same id runs once: while it runs it is attached to, afterwards its result is the answer', async () => {
    const { engine, artifact } = world();
    const folder = await artifact({ 'seed.txt': 'x\n' });
    const once = job(folder, 'echo run >> runs.txt; sleep 0.5; cat runs.txt', { access: 'read-write' });
    const results = await Promise.all([engine.run(once), engine.run(once), engine.run(once)]);
    for (const result of [...results, await engine.run(once)])
      expect(result).toMatchObject({ outcome: 'succeeded', lastLines: ['run'] });
  });

  test('a failing job is a result with reason and last lines, not an exception', async () => {
    const { engine, app } = world();
    const result = await engine.run(job(app, 'echo "column exists already" >&2; exit 4'));
    expect(result).toMatchObject({
      outcome: 'failed',
      failure: { code: 'crashed', exitCode: 4, lastLines: ['column exists already'] },
    });
    expect(await engine.run(job(app, 'no-such-command'))).toMatchObject({
      outcome: 'failed',
      failure: { code: 'command-missing' },
    });
  });

  test('a job that runs too long is ended, with everything it started', async () => {
    const { engine, app } = world();
    const result = await engine.run(job(app, 'echo begun; sleep 600 & sleep 600', { timeoutSeconds: 0.5 }));
    expect(result).toMatchObject({
      outcome: 'failed',
      failure: { code: 'timeout' },
      lastLines: expect.arrayContaining(['begun']),
    });
  });

  test('cancel ends a running job; cancelling an ended one is fine', async () => {
    const { engine, app } = world();
    const long = job(app, 'echo begun; sleep 600');
    const begun = Promise.withResolvers<void>();
    const result = engine.run(long, { output: () => begun.resolve() });
    await begun.promise;
    await engine.cancel(long.id);
    expect(await result).toMatchObject({ outcome: 'failed', failure: { code: 'cancelled' } });
    await engine.cancel(long.id);
    await engine.cancel('never-was');
  });

  test('aborting detaches: the job goes on and can be attached to again', async () => {
    const { engine, artifact } = world();
    const folder = await artifact({ 'seed.txt': 'x\n' });
    const long = job(folder, 'echo begun; sleep 0.7; echo done', { access: 'read-write' });
    const abort = new AbortController();
    await expect(engine.run(long, { output: () => abort.abort(), signal: abort.signal })).rejects.toMatchObject({
      kind: 'transient',
    });
    const result = await engine.run(long);
    expect(result).toMatchObject({ outcome: 'succeeded', lastLines: ['begun', 'done'] });
  });

  test('read-only keeps the folder as it is; read-write may change it, and it is sealed when the job ended well', async () => {
    const { engine, artifact } = world();
    const folder = await artifact({ 'seed.txt': 'x\n' });
    const write = 'echo changed > seed.txt && echo new > made.txt';
    expect(await engine.run(job(folder, write))).toMatchObject({ outcome: 'failed' });
    expect(await engine.run(job(folder, 'cat seed.txt; ls'))).toMatchObject({ lastLines: ['x', 'seed.txt'] });
    expect(await engine.run(job(folder, `mkdir -p sub && ${write}`, { access: 'read-write' }))).toMatchObject({
      outcome: 'succeeded',
    });
    expect(await engine.run(job(folder, 'cat seed.txt made.txt; echo again > sub/file'))).toMatchObject({
      outcome: 'failed',
      lastLines: expect.arrayContaining(['changed', 'new']),
    });
  });

  test('a job whose folder is not there is a mistake', async () => {
    const { engine } = world();
    await expect(engine.run(job('/no/such/folder', 'true'))).rejects.toMatchObject({ kind: 'mistake' });
  });

  test('a job above its memory is ended', async () => {
    const { engine, app } = world();
    const hog = `node -e "const all = []; setInterval(() => all.push(Buffer.alloc(16 * 1024 * 1024, 1)), 20)"`;
    const result = await engine.run(job(app, hog, { memory: 200 * 1024 * 1024 }));
    expect(result).toMatchObject({ outcome: 'failed', failure: { code: 'out-of-memory' } });
  });

  test('removing an environment ends its jobs', async () => {
    const { engine, watcher, app, environment } = world();
    const name = environment();
    await engine.converge(plan(name, 1, [release(1, app)]));
    await watcher.serves(name, 1);
    const begun = Promise.withResolvers<void>();
    const result = engine.run(job(app, 'echo begun; sleep 600', { environment: name }), {
      output: () => begun.resolve(),
    });
    await begun.promise;
    await engine.remove(name);
    expect(await result).toMatchObject({ outcome: 'failed', failure: { code: 'cancelled' } });
    await waitFor(() => watcher.newest(name) === undefined, { what: 'the environment to be gone' });
  });
}
