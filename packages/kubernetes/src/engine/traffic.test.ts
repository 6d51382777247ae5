import { expect, test } from 'vitest';
import { plan, release, service } from '@slipway/engine/conformance';
import { nextRecord } from './next-record.ts';
import type { EnvironmentRecord } from './record.ts';
import { decide } from './decision.ts';
import { keptReleases, shareTraffic } from './traffic.ts';

const ready =
  (...keys: string[]) =>
  (number: number, name: string) =>
    keys.filter((key) => key === `${number}/${name}`).length;

const two = plan('a/b', 2, [release(1, 'i', { weight: 75 }), release(2, 'i', { weight: 25 })]);

test('weights hold for those that can serve; while none can, whoever had the requests keeps them', () => {
  const before = [{ release: 9, weight: 100 }];
  expect(shareTraffic(two, before, ready('1/web', '2/web'))).toEqual([
    { release: 1, weight: 75 },
    { release: 2, weight: 25 },
  ]);
  expect(shareTraffic(two, before, ready('2/web'))).toEqual([{ release: 2, weight: 100 }]);
  expect(shareTraffic(two, before, ready())).toEqual(before);
  expect(shareTraffic(plan('a/b', 3, []), before, ready())).toEqual([]);
});

const held = (more: Partial<EnvironmentRecord> = {}): EnvironmentRecord => ({
  plan: plan('a/b', 1, [release(1, 'i')]),
  kept: [],
  traffic: [{ release: 1, weight: 100 }],
  activity: 'awake',
  fate: 'held',
  namespace: 'a--b',
  inventory: ['Namespace/a--b'],
  ...more,
});

test('a dropped release that serves is kept until another can, one without requests is not', () => {
  const next = plan('a/b', 2, [release(2, 'i')]);
  expect(keptReleases(next, held()).map(({ number }) => number)).toEqual([1]);
  expect(keptReleases(next, held({ traffic: [] }))).toEqual([]);
  expect(keptReleases(plan('a/b', 2, []), held())).toEqual([]);
});

test('the next record: older and contradicting plans are refused, the same is none, a new release wakes', () => {
  const same = held();
  expect(nextRecord(same.plan, same, [])).toBeNull();
  expect(() => nextRecord(plan('a/b', 1, [release(2, 'i')]), same, [])).toThrow(/another plan 1/);
  const newer = held({ plan: plan('a/b', 5, [release(1, 'i')]) });
  expect(() => nextRecord(plan('a/b', 4, [release(1, 'i')]), newer, [])).toThrow(/newer/);
  const asleep = held({ activity: 'asleep', plan: plan('a/b', 1, [release(1, 'i')], { sleepSeconds: 5 }) });
  const after = (numbers: number[], tasks: 'none' | 'waiting' = 'none') =>
    nextRecord(
      plan(
        'a/b',
        2,
        numbers.map((number) => release(number, 'i', { weight: 100 / numbers.length })),
        { sleepSeconds: 6, tasks },
      ),
      asleep,
      ['Service/web'],
    )?.activity;
  expect(after([1])).toBe('asleep');
  expect(after([2])).toBe('awake');
  expect(after([1], 'waiting')).toBe('awake');
});

test('the inventory only grows when a plan is taken', () => {
  const next = nextRecord(plan('a/b', 2, [release(2, 'i')]), held(), ['Service/web--r2']);
  expect(next?.inventory).toEqual(['Namespace/a--b', 'Service/web--r2']);
});

test('a service waits for those it needs until it was started', () => {
  const services = [service('web', 'x', { needs: ['api'] }), service('api', 'x', { route: null })];
  const record = held({ plan: plan('a/b', 1, [release(1, 'i', { services })]), traffic: [] });
  const seen = (started: boolean, ...keys: string[]) => ({
    ready: ready(...keys),
    started: () => started,
    reached: () => true,
  });
  expect([...decide(record, seen(false)).held]).toEqual(['1/web']);
  expect([...decide(record, seen(false, '1/api')).held]).toEqual([]);
  expect([...decide(record, seen(true)).held]).toEqual([]);
  expect([...decide({ ...record, activity: 'asleep' }, seen(false)).held]).toEqual([]);
});

test('a new release is tried by the gateway before it takes requests from one that can answer them', () => {
  const record = held({ plan: plan('a/b', 2, [release(2, 'i')]), kept: [release(1, 'i')] });
  const seen = (reached: boolean, ...keys: string[]) => ({
    ready: ready(...keys),
    started: () => true,
    reached: () => reached,
  });
  expect(decide(record, seen(false, '1/web', '2/web'))).toMatchObject({
    tried: [2],
    traffic: [{ release: 1, weight: 100 }],
  });
  const moved = { tried: [], traffic: [{ release: 2, weight: 100 }] };
  expect(decide(record, seen(true, '1/web', '2/web'))).toMatchObject(moved);
  expect(decide(record, seen(false, '2/web'))).toMatchObject(moved);
  expect(decide({ ...record, traffic: [] }, seen(false, '1/web', '2/web'))).toMatchObject(moved);
});
