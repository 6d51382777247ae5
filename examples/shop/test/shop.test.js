import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { products, readOrder } from '../api/products.js';
import { page } from '../web/page.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const release = { number: '7', commit: '0123456789', environment: 'staging' };

/** Starts a part of the shop on a free port and waits until it listens. */
async function start(file, env = {}) {
  const child = spawn(process.execPath, [file], {
    cwd: root,
    env: { PATH: process.env.PATH, PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
    const port = /listens on \S+:(\d+)/.exec(String(chunk))?.[1];
    if (!port) continue;
    child.stdout.resume();
    return { child, url: `http://127.0.0.1:${port}` };
  }
  throw new Error(`${file} ended before it listened`);
}

async function stop({ child }) {
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  assert.deepEqual(await exited, [0, null]);
}

const shop = {};
before(async () => {
  shop.api = await start('api/server.js');
  shop.web = await start('web/server.js', {
    API_URL: shop.api.url,
    SLIPWAY_RELEASE: '7',
    SLIPWAY_ENVIRONMENT: 'staging',
  });
});
after(async () => {
  await stop(shop.web);
  await stop(shop.api);
});

test('the page shows the products and its release, and escapes what it is given', () => {
  const html = page({ name: '<Shop>', products, style: '', notice: '', release });
  assert.match(html, /&lt;Shop&gt;/);
  assert.match(html, /Mooring rope/);
  assert.match(html, /€ 24\.50/);
  assert.match(html, /Release 7, commit <code>0123456</);
  assert.match(html, /staging/);
});

test('an order names a product and a quantity', () => {
  assert.deepEqual(readOrder('{"product":"rope"}'), { ok: true, order: { product: 'rope', quantity: 1 } });
  for (const bad of ['', 'null', '{"product":"car"}', '{"product":"rope","quantity":0}']) {
    assert.equal(readOrder(bad).ok, false, bad);
  }
});

test('the api lists products and takes orders', async () => {
  const { url } = shop.api;
  assert.equal((await fetch(`${url}/healthz`)).status, 200);
  assert.deepEqual(await (await fetch(`${url}/products`)).json(), { products });
  const ordered = await fetch(`${url}/orders`, { method: 'POST', body: '{"product":"rope","quantity":2}' });
  assert.equal(ordered.status, 201);
  assert.deepEqual(await (await fetch(`${url}/orders`)).json(), {
    orders: [{ number: 1, product: 'rope', quantity: 2 }],
  });
  assert.equal((await fetch(`${url}/orders`, { method: 'POST', body: 'x' })).status, 422);
  assert.equal((await fetch(`${url}/nothing`)).status, 404);
});

test('the page takes an order', async () => {
  const body = new URLSearchParams({ product: 'dinghy' });
  const response = await fetch(`${shop.web.url}/order`, { method: 'POST', body });
  assert.match(response.url, /\?ordered=\d+$/);
  const html = await response.text();
  assert.match(html, /Thank you! Your order has the number \d+/);
  assert.match(html, /Release 7/);
});

test('a stopping service finishes the request it has', async () => {
  const slowApi = createServer().listen(0, '127.0.0.1');
  await once(slowApi, 'listening');
  const web = await start('web/server.js', { API_URL: `http://127.0.0.1:${slowApi.address().port}` });
  const page = fetch(web.url);
  const [, answer] = await once(slowApi, 'request');
  const stopped = stop(web);
  answer.end(JSON.stringify({ products }));
  assert.equal((await page).status, 200);
  await stopped;
  slowApi.close();
  slowApi.closeAllConnections();
});

test('the worker makes a thumbnail of a product, and refuses what is none', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'shop-'));
  after(() => rm(folder, { recursive: true }));
  const payload = join(folder, 'payload.json');
  const env = { PATH: process.env.PATH, SLIPWAY_PAYLOAD: payload, SLIPWAY_OUTPUT: folder };
  const work = () => spawnSync(process.execPath, ['thumbnails/worker.js'], { cwd: root, env, stdio: 'pipe' }).status;
  await writeFile(payload, '{"product":"rope"}');
  assert.equal(work(), 0);
  assert.match(await readFile(join(folder, 'rope.svg'), 'utf8'), /^<svg .*Mooring rope.*<circle/s);
  assert.deepEqual(JSON.parse(await readFile(join(folder, 'result.json'), 'utf8')), {
    product: 'rope',
    file: 'rope.svg',
  });
  await writeFile(payload, '{"product":"car"}');
  assert.equal(work(), 65);
});

test('a thumbnail is asked for at the queue of the environment, and shown when it is there', async () => {
  const requests = [];
  const queue = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    requests.push(`${request.method} ${request.url} ${request.headers.authorization} ${body}`);
    if (request.method === 'POST') return response.writeHead(201).end('{"ids":["17"]}');
    if (request.url.startsWith('/files')) return response.end('<svg/>');
    response.end(
      JSON.stringify({ state: 'done', output: { files: [{ name: 'rope.svg', key: 'output/17/1-1/rope.svg' }] } }),
    );
  }).listen(0, '127.0.0.1');
  await once(queue, 'listening');
  const api = await start('api/server.js', {
    SLIPWAY_QUEUE_URL: `http://127.0.0.1:${queue.address().port}`,
    SLIPWAY_QUEUE_TOKEN: 'secret',
  });
  const web = await start('web/server.js', { API_URL: api.url });
  const picture = await fetch(`${web.url}/thumbnails/rope`);
  assert.equal(picture.url, `${web.url}/thumbnails/17`);
  assert.equal(picture.headers.get('content-type'), 'image/svg+xml');
  assert.equal(await picture.text(), '<svg/>');
  assert.equal(requests[0], 'POST /tasks/thumbnails Bearer secret {"payload":{"product":"rope"},"unique":"rope"}');
  assert.equal((await fetch(`${web.url}/thumbnails/car`)).status, 404);
  await stop(web);
  await stop(api);
  queue.close();
  queue.closeAllConnections();
});

test('the migration runs, twice', () => {
  for (let i = 0; i < 2; i++) execFileSync(process.execPath, ['migrate.js'], { cwd: root, stdio: 'pipe' });
});
