import type { EnvironmentStatus, FailureCode, InstanceStatus, PlannedRelease } from '@slipway/engine';
import { expect, test } from 'vitest';
import { judgeStart, servesAlone } from './judge.ts';

const size = { cpu: 0.1, memory: 1 };

function release(replicas: { web: number; worker?: number }): PlannedRelease {
  return {
    number: 2,
    commit: 'c',
    weight: 0,
    artifact: '/a',
    variables: {},
    services: [
      {
        name: 'web',
        run: 'web',
        replicas: replicas.web,
        size,
        stopSeconds: 1,
        health: null,
        route: '/',
        port: null,
        needs: [],
        startSeconds: 1,
        variables: {},
      },
    ],
    workers:
      replicas.worker === undefined
        ? []
        : [{ name: 'thumbnails', run: 'w', replicas: replicas.worker, size, stopSeconds: 1, variables: {} }],
  };
}

function instance(
  state: InstanceStatus['state'],
  more: { code?: FailureCode; restarts?: number; release?: number; name?: string } = {},
): InstanceStatus {
  return {
    id: 'i',
    release: more.release ?? 2,
    kind: 'service',
    name: more.name ?? 'web',
    state,
    since: 0,
    restarts: more.restarts ?? 0,
    address: null,
    pid: null,
    failure: more.code
      ? { code: more.code, message: `it is ${more.code}.`, exitCode: null, signal: null, lastLines: [] }
      : null,
  };
}

function status(instances: InstanceStatus[], generation = 5): EnvironmentStatus {
  return {
    environment: 'shop/staging',
    generation,
    activity: 'awake',
    traffic: [],
    instances,
    urls: {},
    lastRequestAt: null,
    notices: [],
  };
}

const one = release({ web: 1 });

test.each([
  ['the engine has nothing of it', null, one, undefined],
  ['an older plan is still in progress', status([instance('ready')], 4), one, undefined],
  ['nothing runs yet', status([]), one, undefined],
  ['it is starting', status([instance('starting')]), one, undefined],
  ['only the old release is ready', status([instance('ready', { release: 1 })]), one, undefined],
  ['one of two replicas is ready', status([instance('ready')]), release({ web: 2 }), undefined],
  ['its worker is missing', status([instance('ready')]), release({ web: 1, worker: 1 }), undefined],
  ['it crashed twice', status([instance('failing', { code: 'crashed', restarts: 1 })]), one, undefined],
  [
    'it starts again after two crashes',
    status([instance('starting', { code: 'crashed', restarts: 2 })]),
    one,
    undefined,
  ],
  [
    'the old release fails',
    status([instance('failing', { release: 1, code: 'command-missing' }), instance('starting')]),
    one,
    undefined,
  ],
  ['it is ready', status([instance('ready')]), one, 'ready'],
  ['a newer plan is there already', status([instance('ready')], 6), one, 'ready'],
  [
    'services and workers are ready',
    status([instance('ready'), instance('ready', { name: 'thumbnails' })]),
    release({ web: 1, worker: 1 }),
    'ready',
  ],
  ['it came up after crashes', status([instance('ready', { code: 'crashed', restarts: 5 })]), one, 'ready'],
  ['it has no instances to wait for', status([]), release({ web: 0 }), 'ready'],
  [
    'it crashed three times',
    status([instance('failing', { code: 'crashed', restarts: 2 })]),
    one,
    'web (3 times): it is crashed.',
  ],
  [
    'it starts again after three crashes',
    status([instance('starting', { code: 'crashed', restarts: 3 })]),
    one,
    'web (3 times): it is crashed.',
  ],
  [
    'memory is short three times',
    status([instance('failing', { code: 'out-of-memory', restarts: 2 })]),
    one,
    /3 times/,
  ],
  [
    'its command is missing',
    status([instance('failing', { code: 'command-missing' })]),
    one,
    'web: it is command-missing.',
  ],
  ['its port stays closed', status([instance('failing', { code: 'port-closed' })]), one, 'web: it is port-closed.'],
  ['its image is missing', status([instance('pending', { code: 'image-missing' })]), one, 'web: it is image-missing.'],
] as const)('a start, when %s', (_when, seen, planned, expected) => {
  const judgement = judgeStart(seen, planned, 5);
  if (expected === undefined) expect(judgement).toBeUndefined();
  else if (expected === 'ready') expect(judgement).toEqual({ state: 'ready' });
  else expect(judgement).toMatchObject({ state: 'failed', reason: expect.stringMatching(pattern(expected)) as string });
});

function pattern(text: string | RegExp): RegExp {
  return typeof text === 'string' ? new RegExp(`^${RegExp.escape(text)}$`) : text;
}

test('a release serves alone when it gets every new request', () => {
  const traffic = (releases: number[]) => ({
    ...status([]),
    traffic: releases.map((number) => ({ release: number, weight: 50 })),
  });
  expect(servesAlone(null, 2)).toBe(false);
  expect(servesAlone(traffic([]), 2)).toBe(false);
  expect(servesAlone(traffic([1]), 2)).toBe(false);
  expect(servesAlone(traffic([1, 2]), 2)).toBe(false);
  expect(servesAlone(traffic([2]), 2)).toBe(true);
});
