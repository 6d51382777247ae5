import { expect, test } from 'vitest';
import type { Mark } from './mark.ts';
import { DRIFTED, ObjectStore } from './object-store.ts';

function mark(more: Partial<Mark> = {}): Mark {
  return {
    key: 'Deployment/web',
    kind: 'Deployment',
    name: 'web',
    namespace: 'a--b',
    uid: 'u1',
    version: 1,
    owner: 'a--b',
    applied: 'h1',
    fields: 'f1',
    editor: null,
    existence: 'there',
    ...more,
  };
}

function observed() {
  const told: string[] = [];
  const store = new ObjectStore({
    changed: (_, drift) => void (drift !== null && told.push(drift)),
    deleted: ({ key }, by) => told.push(`${key} ${by}`),
  });
  return { store, told };
}

test('an edit of our fields is told once, and stays until it is written again', () => {
  const { store, told } = observed();
  store.wrote(mark());
  store.put(mark({ version: 2 }));
  expect(told).toEqual([]);
  const editor = { manager: 'kubectl-edit', fields: ['spec.replicas'] };
  store.put(mark({ version: 3, fields: 'f2', editor }));
  store.put(mark({ version: 4, fields: 'f2', editor }));
  expect(told).toEqual(['Deployment web: "kubectl-edit" changed spec.replicas; Slipway has set it back']);
  expect(store.get('a--b', 'Deployment/web')?.fields).toBe(DRIFTED);
  store.wrote(mark({ version: 5 }));
  expect(store.get('a--b', 'Deployment/web')).toMatchObject({ fields: 'f1', editor: null });
});

test('a status, or fields of others, are no edit of ours', () => {
  const { store, told } = observed();
  store.wrote(mark());
  store.put(mark({ version: 2, editor: { manager: 'kubectl-label', fields: ['metadata.labels.x'] } }));
  expect(told).toEqual([]);
  expect(store.get('a--b', 'Deployment/web')?.editor).toBeNull();
});

test('news that are older than the answer to a write are dropped', () => {
  const { store } = observed();
  store.wrote(mark({ version: 10, applied: 'h2' }));
  store.put(mark({ version: 9, applied: 'h1' }));
  expect(store.get('a--b', 'Deployment/web')?.applied).toBe('h2');
});

test('who deleted it is told; a namesake that came later is not taken for it', () => {
  const { store, told } = observed();
  store.wrote(mark());
  store.deleting(mark());
  store.remove(mark({ version: 2 }));
  store.wrote(mark({ uid: 'u2' }));
  store.remove(mark({ uid: 'u1' }));
  expect(store.get('a--b', 'Deployment/web')?.uid).toBe('u2');
  store.replace('Deployment', []);
  expect(told).toEqual(['Deployment/web slipway', 'Deployment/web somebody']);
  expect(store.size).toBe(0);
});
