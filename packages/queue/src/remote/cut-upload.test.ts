import { once } from 'node:events';
import { readdir, utimes } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { freePort, startProcess, temporaryFolder, testDatabase, waitFor } from '@slipway/testing';
import { expect, onTestFinished, test } from 'vitest';
import { Queue } from '../index.ts';
import { folderStore, OWNER } from '../objects/index.ts';
import { slowProxy } from '../objects/slow-proxy-under-test.ts';
import { kinds } from './api-under-test.ts';

const MEBIBYTE = 1024 * 1024;
const limits = { cpu: 1, memoryBytes: 200 * MEBIBYTE, timeoutSeconds: 60 };
const command = 'head -c 20000000 /dev/zero > "$SLIPWAY_OUTPUT/large"; echo x > "$SLIPWAY_OUTPUT/small"';

/** A server of the API and runners that reach it through a proxy; what they left is looked at from beside. */
async function setup() {
  const { pool, url: database } = await testDatabase();
  const folder = await temporaryFolder();
  const objects = path.join(folder, 'objects');
  const store = folderStore(objects);
  const queue = new Queue({ pool, objects: store });
  await queue.migrate();
  const port = await freePort();
  const startServer = async () => {
    const file = path.join(import.meta.dirname, 'api-under-test.ts');
    const child = startProcess(process.execPath, [file, database, '2', String(port), objects]);
    await child.waitForOutput(/listens on/);
    return child;
  };
  const proxy = await slowProxy(`http://127.0.0.1:${port}`);
  onTestFinished(() => proxy.stop());
  const startRunner = async () => {
    const settings = {
      kind: 'shop/render',
      command,
      cwd: folder,
      limits: { normal: limits, fallback: limits },
      slots: { normal: 1, fallback: 0 },
      folder: path.join(folder, 'attempts'),
    };
    const child = startProcess(process.execPath, [path.join(import.meta.dirname, 'runner-main.ts')], {
      env: {
        SLIPWAY_RUNNER: JSON.stringify(settings),
        SLIPWAY_URL: `${proxy.endpoint}/api`,
        SLIPWAY_TOKEN: 'shop',
      },
    });
    await child.waitForOutput(/works on tasks of/);
    return child;
  };
  const keys = async () =>
    (await Array.fromAsync(store.list('')))
      .map(({ key }) => key)
      .filter((key) => key !== OWNER)
      .toSorted();
  const unfinished = () => readdir(path.join(objects, '.unfinished'));
  const show = async (file: string) =>
    await fetch(`http://127.0.0.1:${port}/api/files/${file}`, { headers: { authorization: 'Bearer shop' } });
  /** Makes everything that is there older than a day. */
  const age = async () => {
    const then = new Date(Date.now() - 25 * 3_600_000);
    const all = [...(await keys()), ...(await unfinished()).map((name) => `.unfinished/${name}`)];
    for (const name of all) await utimes(path.join(objects, name), then, then);
  };
  return { pool, queue, port, startServer, startRunner, proxy, keys, unfinished, show, age };
}

test.for(['the runner is killed', 'the connection breaks', 'the server is killed'] as const)(
  '%s in the middle of an upload: nothing of it is shown or counted, the task is done again, and what it left is collected',
  { timeout: 60_000 },
  async (what) => {
    const { pool, queue, startServer, startRunner, proxy, keys, unfinished, show, age } = await setup();
    const server = await startServer();
    const runner = await startRunner();
    proxy.set({ kind: 'slow', bytesPerSecond: 4 * MEBIBYTE });
    const id = await queue.enqueue(kinds.render, {});
    const orphan = `output/${id}/1-1/small`;
    const begun = async () => (await keys()).includes(orphan) && proxy.passed() > 2 * MEBIBYTE;
    await waitFor(begun, { what: 'one file to be there and another one to be on its way' });
    expect(await unfinished()).toHaveLength(1);
    expect((await show(orphan)).status).toBe(404);

    if (what === 'the runner is killed') await runner.kill();
    else if (what === 'the connection breaks') proxy.sever();
    else await server.kill();
    proxy.set({ kind: 'good' });
    if (what === 'the runner is killed') await startRunner();
    if (what === 'the server is killed') await startServer();
    else await waitFor(async () => (await unfinished()).length === 0, { what: 'its room to be freed', seconds: 5 });

    const done = async () => (await pool.query('select attempts, output from slipway_queue.done_task')).rows;
    await waitFor(async () => (await done()).length === 1, { what: 'the task to be done again', seconds: 40 });
    const [{ attempts, output }] = (await done()) as [{ attempts: number; output: { files: { key: string }[] } }];
    const published = output.files.map(({ key }) => key);
    expect(attempts).toBe(2);
    expect(published.map((key) => key.replace(/2-\d+/, '2-LEASE'))).toEqual([
      `output/${id}/2-LEASE/large`,
      `output/${id}/2-LEASE/small`,
    ]);
    expect(await keys()).toEqual([orphan, ...published]);
    expect((await show(orphan)).status).toBe(404);
    expect((await (await show(published[0] ?? '')).arrayBuffer()).byteLength).toBe(20_000_000);
    // Written within two seconds, by the server.
    await waitFor(async () => (await queue.usage('shop/render')).length === 1, { what: 'the attempt that counts' });
    expect((await queue.tally()).map((row) => ({ done: row.done, errors: row.errors }))).toEqual([
      { done: 1, errors: 0 },
    ]);

    await age();
    const left = what === 'the server is killed' ? 1 : 0;
    expect(await queue.collectObjects()).toEqual({ objects: 1, bytes: 2, unfinished: left });
    expect(await keys()).toEqual(published);
    expect(await unfinished()).toEqual([]);
  },
);

test.for([
  ['a length', 'content-length: 1000', 'x'.repeat(500)],
  ['chunks', 'transfer-encoding: chunked', '3e8\r\nxxxxx'],
] as const)('a body with %s that ends too early is no file', async ([, header, body]) => {
  const { queue, port, startServer, keys, unfinished } = await setup();
  await startServer();
  const ask = async (address: string, value: unknown) => {
    const init = { method: 'POST', headers: { authorization: 'Bearer shop' }, body: JSON.stringify(value) };
    return (await (await fetch(`http://127.0.0.1:${port}/api${address}`, init)).json()) as Record<string, unknown>;
  };
  const id = await queue.enqueue(kinds.render, {});
  const { workerId } = await ask('/workers', {});
  const wanted = [{ kind: 'shop/render', lane: 'normal', limit: 1 }];
  expect(await ask(`/workers/${String(workerId)}/claim`, { wanted, waitSeconds: 5, known: null })).toMatchObject({
    tasks: [{ id, lease: '1' }],
  });
  for (const address of [`/workers/${String(workerId)}/files/output/${id}/1-1/a`, '/files/a']) {
    const socket = net.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write(`PUT /api${address} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer shop\r\n${header}\r\n\r\n${body}`);
    await waitFor(async () => (await unfinished()).length === 1, { what: 'the upload to begin' });
    socket.end();
    socket.resume();
    await once(socket, 'close');
    await waitFor(async () => (await unfinished()).length === 0, { what: 'its room to be freed' });
    expect(await keys()).toEqual([]);
  }
});
