import { serve } from '../serve.js';
import { products, readOrder } from './products.js';
import * as thumbnails from './thumbnails.js';

/** Kept in memory: a shop that is only an example forgets its orders with each release. */
const orders = [];

function answer(response, status, body) {
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(body));
}

async function readBody(request) {
  let body = '';
  for await (const chunk of request) {
    body += chunk;
    if (body.length > 10_000) throw Object.assign(new Error('an order of more than 10 kB'), { status: 413 });
  }
  return body;
}

serve('api', async (request, response) => {
  const { pathname } = new URL(request.url, 'http://api');
  if (pathname === '/products') return answer(response, 200, { products });
  if (pathname === '/orders' && request.method === 'GET') return answer(response, 200, { orders });
  if (pathname === '/orders' && request.method === 'POST') {
    const read = readOrder(await readBody(request));
    if (!read.ok) return answer(response, 422, { error: read.reason });
    const order = { number: orders.length + 1, ...read.order };
    orders.push(order);
    console.log(`api: order ${order.number}: ${order.quantity} x ${order.product}`);
    return answer(response, 201, order);
  }
  const wanted = /^\/thumbnails\/([a-z]+)$/.exec(pathname)?.[1];
  if (wanted && request.method === 'POST') {
    if (!products.some(({ id }) => id === wanted))
      return answer(response, 404, { error: `there is no product "${wanted}"` });
    if (!thumbnails.available) return answer(response, 503, { error: 'nobody makes thumbnails without Slipway' });
    return answer(response, 202, { task: await thumbnails.request(wanted) });
  }
  const task = /^\/thumbnails\/(\d+)$/.exec(pathname)?.[1];
  if (task && request.method === 'GET') {
    const found = thumbnails.available ? await thumbnails.look(task) : null;
    return found ? answer(response, 200, found) : answer(response, 404, { error: 'there is no such task' });
  }
  answer(response, 404, { error: 'there is nothing here' });
});
