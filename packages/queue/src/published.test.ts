import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { installPackage, startProcess, temporaryFolder, testDatabase, waitFor } from '@slipway/testing';
import { beforeAll, expect, test } from 'vitest';

const run = promisify(execFile);
const queue = path.join(import.meta.dirname, '..');
const compiler = path.join(queue, '..', '..', 'node_modules', 'typescript', 'bin', 'tsc');

/** A program of somebody who has nothing but the published package. */
let project: string;

beforeAll(async () => {
  project = await temporaryFolder();
  const dist = path.join(project, 'dist');
  await run(process.execPath, ['build.ts'], { cwd: queue, env: { ...process.env, SLIPWAY_DIST: dist } });
  await installPackage(dist, project);
  await writeFile(path.join(project, 'package.json'), JSON.stringify({ type: 'module' }));
  await writeFile(
    path.join(project, 'tsconfig.json'),
    JSON.stringify({
      // Also what the package declares is checked, and everything it hands on.
      compilerOptions: { module: 'nodenext', target: 'es2024', strict: true, types: ['node'], outDir: 'js' },
      include: ['*.ts'],
    }),
  );
  const readme = await readFile(path.join(queue, 'README.md'), 'utf8');
  await writeFile(path.join(project, 'example.ts'), /```ts\n([^]*?)```/.exec(readme)?.[1] ?? '');
  await writeFile(path.join(project, 'faces.ts'), faces);
  await writeFile(path.join(project, 'features.ts'), features(readme));
  await run(process.execPath, [compiler, '-p', project], { cwd: project }).catch((error: unknown) => {
    throw new Error(error instanceof Error && 'stdout' in error ? String(error.stdout) : String(error));
  });
}, 60_000);

/** The examples in the table of features, each for itself. */
function features(readme: string): string {
  const [, table = ''] = /## Features\n([^]*?)\n## /.exec(readme) ?? [];
  const examples = [...table.matchAll(/^\|[^|`]*\| `(.*)` *\|$/gm)].map(([, example]) => `{ ${example}; }`);
  expect(examples.length).toBeGreaterThan(20);
  return `
import { Discard, type Handler, Queue, Snooze, taskKind, z } from '@slipway/queue';
import { queueMetrics } from '@slipway/queue/metrics';
import type { PoolClient } from 'pg';
const thumbnail = taskKind({ name: 'thumbnail', payload: z.object({ image: z.string(), width: z.number() }) });
const album = taskKind({ name: 'album', payload: z.string() });
const photo = { image: 'cat.png', width: 200 };
type Photo = typeof photo;
export async function use(queue: Queue, client: PoolClient, handler: Handler<Photo>, taskId: string, batchId: string) {
${examples.join('\n')}
}
`;
}

/** What the types must refuse, and what must be there. */
const faces = `
import { openQueue, taskKind, z, type QueueEvent } from '@slipway/queue';
import { serveTasks } from '@slipway/queue/child';
import { queueMetrics } from '@slipway/queue/metrics';
const kind = taskKind({ name: 'k', payload: z.object({ image: z.string() }) });
export async function use(url: string) {
  const queue = await openQueue(url, { onEvent: (event: QueueEvent) => console.log(event.event) });
  // @ts-expect-error -- the payload has no such field
  await queue.enqueue(kind, { imaeg: 'cat.png' });
  queue.work(kind, async ({ image }) => image.length, { concurrency: 2 });
  queueMetrics(queue);
  return serveTasks;
}
`;

test.for([
  { language: 'TypeScript', program: 'example.ts' },
  { language: 'JavaScript', program: 'js/example.js' },
])(
  'the example of the README in $language: 20 processes that start at once make the tables and do the work',
  { timeout: 60_000 },
  async ({ program }) => {
    const { url, pool } = await testDatabase();
    const workers = Array.from({ length: 20 }, () =>
      startProcess(process.execPath, [program], { cwd: project, env: { DATABASE_URL: url } }),
    );
    const done = () =>
      workers.flatMap((worker) => worker.output().match(/cat\.png at 200 px, attempt 1/g) ?? []).length;
    await waitFor(() => done() === 20, { what: '20 tasks done', seconds: 40 });
    // Every one of them can be asked to stop, once it listens.
    await Promise.all(workers.map((worker) => worker.waitForOutput(/works on tasks/)));
    for (const worker of workers) worker.signal('SIGTERM');
    for (const worker of workers) expect(await worker.exited, worker.output()).toEqual({ code: 0, signal: null });
    const left = await pool.query(
      'select (select count(*) from slipway_queue.task)::int + (select count(*) from slipway_queue.dead_task)::int as left',
    );
    expect(left.rows).toEqual([{ left: 0 }]);
  },
);

test('what is published is what a program needs, and nothing of its tests', async () => {
  const packed = await run('npm', ['pack', '--dry-run', '--json'], {
    cwd: path.join(project, 'node_modules/@slipway/queue'),
  });
  const [{ files } = { files: [] }] = JSON.parse(packed.stdout) as { files: { path: string }[] }[];
  const names = files.map((file) => file.path);
  expect(names).toContain('LICENSE');
  expect(names).toContain('README.md');
  const manifest = await readFile(path.join(project, 'node_modules/@slipway/queue/package.json'), 'utf8');
  const faces = Object.values((JSON.parse(manifest) as { exports: Record<string, Record<string, string>> }).exports);
  for (const file of faces.flatMap((face) => Object.values(face))) expect(names).toContain(file.replace('./', ''));
  expect(names.filter((name) => /migrations\/0001-.*\.sql$/.test(name))).toHaveLength(1);
  expect(names.filter((name) => /test|conformance|(?<!\.d)\.ts$/.test(name))).toEqual([]);
});
