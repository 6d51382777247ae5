import { existsSync, readFileSync } from 'node:fs';
import { serve } from '../serve.js';
import { page } from './page.js';

const {
  API_URL = 'http://127.0.0.1:3001',
  SHOP_NAME = 'Shop',
  SLIPWAY_RELEASE = 'none',
  SLIPWAY_COMMIT = 'none',
  SLIPWAY_ENVIRONMENT = 'this computer',
} = process.env;

/** What build.js made; the source does as well where nothing was built, e.g. in the check. */
const built = new URL('../dist/style.css', import.meta.url);
const style = readFileSync(existsSync(built) ? built : new URL('style.css', import.meta.url), 'utf8');

async function askApi(path, init = {}) {
  const response = await fetch(new URL(path, API_URL), { ...init, signal: AbortSignal.timeout(5000) });
  return { status: response.status, body: await response.json() };
}

async function order(request) {
  let form = '';
  for await (const chunk of request) {
    form += chunk;
    if (form.length > 10_000) throw Object.assign(new Error('a form of more than 10 kB'), { status: 413 });
  }
  const product = new URLSearchParams(form).get('product');
  const { status, body } = await askApi('/orders', { method: 'POST', body: JSON.stringify({ product }) });
  return status === 201 ? `ordered=${body.number}` : `refused=${encodeURIComponent(body.error)}`;
}

function noticeFrom(query) {
  if (query.has('ordered')) return `Thank you! Your order has the number ${query.get('ordered')}.`;
  return query.has('refused') ? `That did not work: ${query.get('refused')}.` : '';
}

serve('web', async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://web');
  if (pathname === '/order' && request.method === 'POST') {
    // See other: reloading the page does not order again.
    response.writeHead(303, { Location: `/?${await order(request)}` });
    response.end();
    return;
  }
  // The pictures for other sites are made by the worker: asked for at /thumbnails/rope, looked at under the address of the answer.
  if (/^\/thumbnails\/[a-z]+$/.test(pathname)) {
    const { status, body } = await askApi(pathname, { method: 'POST' });
    response.writeHead(status === 202 ? 303 : status, {
      'Content-Type': 'application/json',
      ...(status === 202 && { Location: `/thumbnails/${body.task}` }),
    });
    response.end(JSON.stringify(body));
    return;
  }
  if (/^\/thumbnails\/\d+$/.test(pathname)) {
    const { status, body } = await askApi(pathname);
    const type = body.svg ? 'image/svg+xml' : 'application/json';
    // Until it is there, the browser looks again every second.
    response.writeHead(status, { 'Content-Type': type, ...(status === 200 && !body.svg && { Refresh: '1' }) });
    response.end(body.svg ?? JSON.stringify(body));
    return;
  }
  if (pathname !== '/') {
    response.writeHead(404, { 'Content-Type': 'text/plain' });
    response.end('There is nothing here.\n');
    return;
  }
  const { body } = await askApi('/products');
  response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', 'Cache-Control': 'no-cache' });
  response.end(
    page({
      name: SHOP_NAME,
      products: body.products,
      style,
      notice: noticeFrom(searchParams),
      release: { number: SLIPWAY_RELEASE, commit: SLIPWAY_COMMIT, environment: SLIPWAY_ENVIRONMENT },
    }),
  );
});
