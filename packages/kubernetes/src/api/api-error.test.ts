import { expect, test } from 'vitest';
import { noAnswer, refusal } from './api-error.ts';

const status = (code: number, reason: string, message: string, details: unknown = {}) =>
  JSON.stringify({ kind: 'Status', status: 'Failure', code, reason, message, details });

test('a missing right is told by name', () => {
  const message =
    'deployments.apps "web" is forbidden: User "system:serviceaccount:slipway:slipway" cannot patch resource "deployments" in API group "apps" in the namespace "shop--staging"';
  const error = refusal('PATCH web', 403, status(403, 'Forbidden', message));
  expect(error).toMatchObject({ kind: 'mistake', status: 403 });
  expect(error.message).toBe(
    "Slipway's user system:serviceaccount:slipway:slipway lacks the right to patch deployments.apps in namespace shop--staging",
  );
  expect(error.hint).toContain('verb patch');
});

test('a quota is no missing right', () => {
  const error = refusal('POST pods', 403, status(403, 'Forbidden', 'pods "x" is forbidden: exceeded quota: shop'));
  expect(error.message).toContain('exceeded quota');
});

test('a conflict names the other managers and their fields', () => {
  const causes = [
    { reason: 'FieldManagerConflict', message: 'conflict with "kubectl-edit" using apps/v1', field: '.spec.replicas' },
  ];
  const error = refusal('PATCH web', 409, status(409, 'Conflict', 'Apply failed with 1 conflict', { causes }));
  expect(error).toMatchObject({ kind: 'conflict' });
  expect(error.message).toContain('.spec.replicas (kubectl-edit)');
});

test.each([
  [401, 'denied'],
  [404, 'not-found'],
  [409, 'conflict'],
  [410, 'transient'],
  [422, 'mistake'],
  [429, 'transient'],
  [500, 'transient'],
  [503, 'transient'],
])('%i is %s', (code, kind) => {
  expect(refusal('GET x', code, 'not even JSON')).toMatchObject({ kind, status: code });
});

test('Retry-After comes from the header, else from the body', () => {
  const body = status(429, 'TooManyRequests', 'slow down', { retryAfterSeconds: 7 });
  expect(refusal('GET x', 429, body, '3').retryAfterSeconds).toBe(3);
  expect(refusal('GET x', 429, body).retryAfterSeconds).toBe(7);
  expect(refusal('GET x', 429, '').retryAfterSeconds).toBeNull();
});

test('no answer is transient and says why', () => {
  const error = noAnswer('GET pods', Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }));
  expect(error).toMatchObject({ kind: 'transient', status: 0 });
  expect(error.message).toContain('ECONNREFUSED');
});
