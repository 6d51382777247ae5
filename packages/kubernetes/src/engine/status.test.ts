import { expect, test } from 'vitest';
import { plan, release, service } from '@slipway/engine/conformance';
import { decide } from './decision.ts';
import type { EnvironmentRecord } from './record.ts';
import { environmentStatus, type StatusFacts } from './status.ts';

const record: EnvironmentRecord = {
  plan: plan('a/b', 3, [release(1, 'i', { services: [service('web', 'x', { replicas: 2 })] })]),
  kept: [],
  traffic: [],
  activity: 'awake',
  fate: 'held',
  namespace: 'a--b',
  inventory: [],
};

function facts(more: Partial<StatusFacts> = {}): StatusFacts {
  return {
    record,
    decision: decide(record, { ready: () => 0, started: () => false, reached: () => true }),
    pods: [],
    gone: [],
    reached: [],
    refusal: () => null,
    activity: 'awake',
    port: 80,
    lastRequestAt: null,
    notices: [],
    since: () => 5,
    ...more,
  };
}

test('what is wanted and has no pod yet is pending', () => {
  const { instances, generation, urls } = environmentStatus(facts());
  expect(instances.map(({ name, state, release }) => [name, state, release])).toEqual([
    ['web', 'pending', 1],
    ['web', 'pending', 1],
  ]);
  expect(new Set(instances.map(({ id }) => id)).size).toBe(2);
  expect(generation).toBe(3);
  expect(urls).toEqual({ web: 'http://b.a.localhost' });
});

test('a used-up quota is told with the words of the cluster', () => {
  const { instances } = environmentStatus(facts({ refusal: () => 'pods "web" is forbidden: exceeded quota: a' }));
  expect(instances[0]).toMatchObject({ state: 'failing', failure: { code: 'unschedulable' } });
  expect(instances[0]?.failure?.message).toContain('quota of the namespace is used up');
});

test('asleep nothing is wanted and nothing reached', () => {
  const { instances, traffic } = environmentStatus(
    facts({ activity: 'asleep', reached: [{ release: 1, weight: 100 }] }),
  );
  expect(instances).toEqual([]);
  expect(traffic).toEqual([]);
});
