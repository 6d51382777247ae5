import { expect, test } from 'vitest';
import type { ClusterView } from '../observe/cluster-view.ts';
import { namespaceView, type NamespaceView } from '../observe/namespace-view.ts';
import { explainTerminating } from '../observe/namespace-view.ts';
import { placeFor, stuckNamespaces } from './place.ts';

const NOW = 1_800_000_000_000;

function view(...namespaces: NamespaceView[]): ClusterView {
  return {
    namespace: (name: string) => namespaces.find((one) => one.name === name),
    namespacesOf: (environment: string) => namespaces.filter((one) => one.environment === environment),
  } as Partial<ClusterView> as ClusterView;
}

const going = (name: string, milliseconds: number): NamespaceView => ({
  name,
  uid: name,
  environment: 'shop/pr-1',
  terminating: { since: NOW - milliseconds, heldBy: ['some finalizers remain'] },
});

test('a namespace that is being deleted is waited for, a stuck one is left', () => {
  const place = (...namespaces: NamespaceView[]) => placeFor(view(...namespaces), 'shop/pr-1', 'shop--pr-1', NOW);
  expect(place()).toEqual({ kind: 'here' });
  expect(place({ ...going('shop--pr-1', 0), terminating: null })).toEqual({ kind: 'here' });
  expect(place(going('shop--pr-1', 4_000))).toEqual({ kind: 'soon', milliseconds: 6_000 });
  expect(place(going('shop--pr-1', 20_000))).toEqual({ kind: 'elsewhere', namespace: 'shop--pr-1--n2' });
  expect(place(going('shop--pr-1', 20_000), going('shop--pr-1--n2', 20_000))).toEqual({
    kind: 'elsewhere',
    namespace: 'shop--pr-1--n3',
  });
});

test('what holds it is told by name', () => {
  expect(
    stuckNamespaces(view(going('a', 1_000), going('b', 60_000)), 'shop/pr-1', NOW).map(explainTerminating),
  ).toEqual(['The namespace b is being deleted. It is held by: some finalizers remain.']);
  const seen = namespaceView({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'a', uid: 'u', resourceVersion: '1', deletionTimestamp: '2026-11-28T07:00:00Z' },
    spec: { finalizers: ['kubernetes', 'example.com/guard'] },
    status: {
      conditions: [
        {
          type: 'NamespaceFinalizersRemaining',
          status: 'True',
          message: 'example.com/x in 1 resource instances',
          reason: '',
        },
        { type: 'NamespaceContentRemaining', status: 'False', message: 'all gone', reason: '' },
      ],
    },
  });
  expect(seen.terminating?.heldBy).toEqual([
    'example.com/x in 1 resource instances',
    'its own finalizer example.com/guard',
  ]);
});
