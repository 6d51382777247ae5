import { createServer } from 'node:http';
import { z } from 'zod';
import { connectPool, Queue, taskKind, tasksApi, type TaskKind } from '../index.ts';
import { folderStore } from '../objects/index.ts';

/**
 * A server of the tasks API for tests: `api-under-test.ts URL LEASE_SECONDS PORT OBJECTS`. Tokens `shop` and `other` open the scopes of
 * these names. It says `listens on PORT`.
 */

export const kinds = {
  note: taskKind({
    name: 'shop/note',
    payload: z.object({ n: z.number() }),
    retries: 2,
    backoff: () => 0,
    keepSeconds: 600,
    fallback: 'bigger',
  }),
  count: taskKind({ name: 'shop/count', payload: z.object({ n: z.number() }), retries: 0 }),
  render: taskKind({ name: 'shop/render', payload: z.unknown(), retries: 1, backoff: () => 0, keepSeconds: 600 }),
  other: taskKind({ name: 'other/note', payload: z.unknown(), keepSeconds: 600 }),
};

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- payloads come from outside, and are checked by these very kinds
const all = Object.values(kinds) as unknown as TaskKind<unknown>[];

export async function serve(queue: Queue, objectsFolder: string, port: number) {
  const objects = folderStore(objectsFolder);
  const apiOf = (scope: string) =>
    tasksApi({
      queue,
      objects,
      scope,
      kindOf: (name) => all.find((kind) => kind.name === name) ?? null,
      kinds: () => all.map(({ name }) => name),
      onBug: (error) => console.error(error),
    });
  const apis = new Map([
    ['Bearer shop', apiOf('shop/')],
    ['Bearer other', apiOf('other/')],
  ]);
  const server = createServer((request, response) => {
    const api = apis.get(request.headers.authorization ?? '');
    if (api === undefined) {
      response.writeHead(401, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ error: { code: 'denied', message: 'Unknown token.', hint: 'Ask for one.' } }));
      return;
    }
    void api(request, response, (request.url ?? '').replace(/^\/api/, ''));
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.on('error', reject).listen(port, '127.0.0.1', resolve);
  await promise;
  const address = server.address();
  const bound = typeof address === 'object' && address !== null ? address.port : port;
  return { url: `http://127.0.0.1:${bound}/api`, port: bound, server };
}

if (import.meta.main) {
  const [url = '', leaseSeconds = '15', port = '0', folder = ''] = process.argv.slice(2);
  const pool = connectPool(url);
  const queue = new Queue({ pool, leaseSeconds: Number(leaseSeconds), objects: folderStore(folder) });
  await queue.start();
  const served = await serve(queue, folder, Number(port));
  console.log(`listens on ${served.port}`);
}
