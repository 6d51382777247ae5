import { createServer } from 'node:net';
import { once } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';
import { freePort } from '@slipway/testing';
import { ask, emptyTable, service, startBackend, startNamed, startRouter } from './router-under-test.ts';

test('leads to one service, whatever path and host, and follows the table', async () => {
  const router = await startRouter();
  const port = await router.internalPort('a/x', 'api', null);
  expect(await router.internalPort('a/x', 'api', null)).toBe(port);
  expect(await router.internalPort('a/x', 'web', null)).not.toBe(port);
  const held = ask(port, '/early', { headers: { host: 'localhost' } });
  const [web, api, next] = [await startNamed('web'), await startNamed('api'), await startNamed('next')];
  const table = (backend: typeof api) => ({
    ...emptyTable(),
    releases: [{ number: 1, weight: 1, services: [service('/', web), { ...service(null, backend), name: 'api' }] }],
  });
  router.set('a/x', table(api));
  expect((await held).body).toBe('api GET /early');
  expect((await ask(port, '/x', { headers: { host: `127.0.0.1:${port}` } })).body).toBe('api GET /x');
  router.set('a/x', table(next));
  expect((await ask(port, '/x')).body).toBe('next GET /x');
  expect(router.lastRequestAt('a/x')).not.toBeNull();
});

test('takes the preferred port, or another one when it is taken', async () => {
  const router = await startRouter();
  const wanted = await freePort();
  expect(await router.internalPort('a/x', 'api', wanted)).toBe(wanted);
  const other = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void other.close());
  await once(other, 'listening');
  const address = other.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const got = await router.internalPort('a/x', 'taken', address.port);
  expect(got).not.toBe(address.port);
});

test('wakes the environment', async () => {
  const woken: string[] = [];
  const api = await startNamed('api');
  const router = await startRouter({
    events: {
      wake: (environment) => {
        woken.push(environment);
        router.set('a/x', {
          ...emptyTable(),
          releases: [{ number: 1, weight: 1, services: [{ ...service(null, api), name: 'api' }] }],
        });
        return Promise.resolve();
      },
    },
  });
  router.set('a/x', emptyTable('wake'));
  const port = await router.internalPort('a/x', 'api', null);
  expect((await ask(port, '/')).body).toBe('api GET /');
  expect(woken).toEqual(['a/x']);
});

test('passes on what the calling service says about its client', async () => {
  const router = await startRouter();
  const api = await startBackend((incoming, response) => void response.end(incoming.headers['x-forwarded-for']));
  router.set('a/x', {
    ...emptyTable(),
    releases: [{ number: 1, weight: 1, services: [{ ...service(null, api), name: 'api' }] }],
  });
  const port = await router.internalPort('a/x', 'api', null);
  expect((await ask(port, '/', { headers: { 'x-forwarded-for': '1.2.3.4' } })).body).toBe('1.2.3.4');
});

test('closes when the environment is deleted', async () => {
  const router = await startRouter();
  router.set('a/x', emptyTable());
  router.set('a/xy', emptyTable());
  const port = await router.internalPort('a/x', 'api', null);
  const other = await router.internalPort('a/xy', 'api', null);
  router.delete('a/x');
  await expect(ask(port, '/')).rejects.toThrow('ECONNREFUSED');
  expect(await router.internalPort('a/xy', 'api', null)).toBe(other);
});
