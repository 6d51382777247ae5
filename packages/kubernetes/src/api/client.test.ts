import { expect, test } from 'vitest';
import { failure, faultyApi, json } from './api-under-test.ts';

test('429 is tried again after what the server asked for, also a create: it was not carried out', async () => {
  const { api, seen } = await faultyApi(failure(429, 'TooManyRequests', { 'retry-after': '1' }), json({ made: true }));
  const began = performance.now();
  expect(await api.create('/api/v1/pods', {})).toEqual({ made: true });
  expect(performance.now() - began).toBeGreaterThan(900);
  expect(seen).toHaveLength(2);
  expect(api.pace.rate).toBeLessThan(200);
});

test('500 is tried again where that does no harm, and a create is not', async () => {
  const { api, seen } = await faultyApi(failure(500, 'InternalError'), json({ fine: true }));
  expect(await api.apply('/apis/apps/v1/x', {}, 'slipway', 'yes')).toEqual({ fine: true });
  expect(seen[0]).toBe('PATCH /apis/apps/v1/x?fieldManager=slipway&force=true');
  const second = await faultyApi(failure(500, 'InternalError'));
  await expect(second.api.create('/api/v1/pods', {})).rejects.toMatchObject({ kind: 'transient', status: 500 });
  expect(second.seen).toHaveLength(1);
});

test('what is gone is deleted', async () => {
  const { api } = await faultyApi(failure(404, 'NotFound'));
  await api.delete('/api/v1/pods/x');
});

test('nobody there is transient, and calls are counted', async () => {
  const { api } = await faultyApi(json({}));
  await api.get('/a');
  await api.merge('/b', {});
  expect(api.calls).toEqual({ reads: 1, writes: 1, watches: 0 });
});
