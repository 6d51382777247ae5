import { spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import type { AttemptReport } from './command-runner.ts';
import { runnerUnderTest, type RunnerUnderTest } from './runner-under-test.ts';

const examples = path.resolve(import.meta.dirname, '../../../../examples');
const hasPython = spawnSync('python3', ['--version']).status === 0;

async function chart(under: RunnerUnderTest, values: string): Promise<AttemptReport & { output: string }> {
  const folder = await under.runner.prepare();
  await writeFile(path.join(folder.input, 'values.csv'), values);
  const task = { id: '1', attempt: 1, lane: 'normal', payload: { title: 'Fruit', colour: '#112233' }, folder } as const;
  return { ...(await under.runner.run(task, { signal: new AbortController().signal })), output: folder.output };
}

test.skipIf(!hasPython)('the worker in Python draws a picture, and refuses what it never can draw', async () => {
  const under = await runnerUnderTest('python3 render.py', { cwd: path.join(examples, 'worker-python') });
  const report = await chart(under, 'apples,3\npears,5\n');
  expect(report).toMatchObject({ end: { kind: 'done' }, result: { title: 'Fruit', bars: 2, width: 640 } });
  const png = await readFile(path.join(report.output, 'chart.png'));
  expect(png.subarray(1, 4).toString()).toBe('PNG');
  expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([640, 360]);
  const refused = (await chart(under, 'nothing to draw\n')).end;
  expect(refused).toMatchObject({ kind: 'discarded', message: expect.stringContaining("can't be drawn") });
});

test('the worker in TypeScript stays alive and writes one invoice after another', async () => {
  const env = { PATH: process.env['PATH'] ?? '', NODE: process.execPath };
  const cwd = path.join(examples, 'worker-typescript');
  const under = await runnerUnderTest('exec "$NODE" invoice.ts', { process: 'kept', cwd, env });
  const lines = [{ what: 'Tea & <b>', quantity: 2, price: 3.5 }];
  for (const number of ['2026-1', '2026-2']) {
    const { end, result, folder } = await under.run({ number, customer: 'Ahoj', currency: 'EUR', lines });
    expect([end, result]).toEqual([{ kind: 'done' }, { total: 7 }]);
    const page = await readFile(path.join(folder.output, 'invoice.html'), 'utf8');
    expect(page).toContain(`Invoice ${number} for Ahoj`);
    expect(page).toContain('Tea &amp; &lt;b><td>2<td>€7.00');
  }
  expect((await under.run({ number: 3 })).end).toMatchObject({ kind: 'discarded' });
});
