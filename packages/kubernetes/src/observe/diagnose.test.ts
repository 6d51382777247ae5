import { describe, expect, test } from 'vitest';
import { diagnose, NO_EVIDENCE, trouble, type Evidence } from './diagnose.ts';
import type { ContainerState, ContainerView, Ended, PodView } from './pod-view.ts';
import { explainUnschedulable } from './unschedulable.ts';

const NOW = 1_800_000_000_000;
const YES = { met: 'yes' as const, reason: null, message: null, since: NOW - 60_000 };
const NO = { ...YES, met: 'no' as const };

function container(state: ContainerState, more: Partial<ContainerView> = {}): ContainerView {
  return { name: 'web', image: 'shop/web:1', restarts: 0, started: 'no', state, last: null, ...more };
}

function pod(more: Partial<PodView> = {}): PodView {
  return {
    name: 'web--r1-abc',
    namespace: 'shop--staging',
    uid: 'u1',
    version: 1,
    owner: 'shop--staging',
    component: 'service',
    process: 'web',
    release: 1,
    annotations: {},
    node: 'node1',
    address: '10.0.0.1',
    phase: 'Running',
    reason: null,
    message: null,
    createdAt: NOW - 60_000,
    life: 'stays',
    ready: NO,
    scheduled: YES,
    container: container({ kind: 'running', since: NOW - 1000 }),
    preparing: null,
    ...more,
  };
}

function ended(exitCode: number, reason = 'Error', more: Partial<Ended> = {}): Ended {
  return { kind: 'ended', exitCode, signal: null, reason, message: '', at: NOW - 500, began: NOW - 900, ...more };
}

function waits(reason: string, message = '', more: Partial<ContainerView> = {}): PodView {
  return pod({ container: container({ kind: 'waiting', reason, message }, more) });
}

const crashLoop = (end: Ended): PodView => waits('CrashLoopBackOff', 'back-off', { last: end, restarts: 2 });

describe('state', () => {
  test.each<[string, PodView, string]>([
    ['its end was asked for', pod({ life: 'leaving', ready: YES }), 'draining'],
    ['Ready', pod({ ready: YES }), 'ready'],
    ['its process runs', pod(), 'starting'],
    ['no container yet', pod({ container: null, phase: 'Pending' }), 'pending'],
    ['its image is being pulled', waits('ContainerCreating'), 'pending'],
    ['ended', pod({ container: container(ended(1)) }), 'failing'],
    ['in back-off', crashLoop(ended(1)), 'failing'],
    ['a first failed pull that may be the network', waits('ErrImagePull', 'dial tcp: i/o timeout'), 'pending'],
  ])('%s', (_, one, state) => {
    expect(diagnose(one, NO_EVIDENCE, NOW).state).toBe(state);
  });
});

describe('why', () => {
  const failureOf = (one: PodView, evidence: Partial<Evidence> = {}) =>
    diagnose(one, { ...NO_EVIDENCE, ...evidence }, NOW).failure;

  test.each<[string, PodView, string, RegExp]>([
    [
      'missing image',
      waits('ErrImagePull', 'manifest unknown: not found'),
      'image-missing',
      /shop\/web:1 can't be pulled/,
    ],
    ['image in back-off', waits('ImagePullBackOff', 'Back-off pulling'), 'image-missing', /pushed/],
    ['no pull secret', waits('ErrImagePull', '401 Unauthorized'), 'image-missing', /pull secret/],
    ['missing key', waits('CreateContainerConfigError', 'secret "secrets-1" not found'), 'config-missing', /secrets-1/],
    ['out of memory', crashLoop(ended(137, 'OOMKilled')), 'out-of-memory', /size\.memory/],
    ['no such command', crashLoop(ended(127)), 'command-missing', /127/],
    [
      'no shell in the image',
      crashLoop(ended(128, 'StartError', { message: 'exec: "sh": not found' })),
      'command-missing',
      /"sh": not found/,
    ],
    [
      'evicted for the disk',
      pod({ phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: ephemeral-storage.' }),
      'disk-full',
      /node1 ran out of disk/,
    ],
    [
      'evicted for memory',
      pod({ phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: memory.' }),
      'out-of-memory',
      /node1/,
    ],
    ['lost with its node', pod({ phase: 'Failed', reason: 'NodeLost' }), 'lost', /node1/],
  ])('%s', (_, one, code, message) => {
    const failure = failureOf(one);
    expect(failure?.code).toBe(code);
    expect(failure?.message).toMatch(message);
  });

  test('a crash has its exit code, signal and last lines', () => {
    expect(failureOf(crashLoop(ended(3)), { lastLines: ['no DATABASE_URL'] })).toMatchObject({
      code: 'crashed',
      exitCode: 3,
      signal: null,
      lastLines: ['no DATABASE_URL'],
    });
    expect(failureOf(crashLoop(ended(139)))).toMatchObject({ signal: 'SIGSEGV' });
  });

  test('a closed port and a health that never answers are told apart by what the probe saw', () => {
    const killing = { reason: 'Killing', message: 'Container web failed startup probe, will be restarted' };
    const seen = (message: string) => [{ reason: 'Unhealthy', message: `Startup probe failed: ${message}` }, killing];
    const again = pod({ container: container({ kind: 'running', since: NOW }, { last: ended(137), restarts: 1 }) });
    expect(
      failureOf(again, {
        events: seen('Get "http://10.0.0.1:3000/": dial tcp 10.0.0.1:3000: connect: connection refused'),
      }),
    ).toMatchObject({
      code: 'port-closed',
      message: expect.stringContaining('PORT'),
    });
    expect(failureOf(again, { events: seen('HTTP probe failed with statuscode: 503') })).toMatchObject({
      code: 'unhealthy',
      message: expect.stringContaining('503'),
    });
  });

  test('a failure stays visible while it is started again', () => {
    const again = pod({ container: container({ kind: 'running', since: NOW }, { last: ended(3), restarts: 1 }) });
    expect(diagnose(again, NO_EVIDENCE, NOW)).toMatchObject({ state: 'starting', failure: { code: 'crashed' } });
  });

  test('no node fits: first patience, then the reason and what would fit', () => {
    const message = '0/2 nodes are available: 2 Insufficient memory. preemption: 0/2 nodes are available.';
    const since = (milliseconds: number) =>
      pod({
        phase: 'Pending',
        container: null,
        scheduled: { met: 'no', reason: 'Unschedulable', message, since: NOW - milliseconds },
      });
    expect(diagnose(since(1_000), NO_EVIDENCE, NOW)).toEqual({ state: 'pending', failure: null });
    const nodes = [
      { name: 'small', scheduling: 'open' as const, cpu: 3, memory: 2 ** 30 },
      { name: 'large', scheduling: 'open' as const, cpu: 0.5, memory: 3 * 2 ** 30 },
      { name: 'closed', scheduling: 'closed' as const, cpu: 64, memory: 2 ** 40 },
    ];
    const told = diagnose(since(60_000), { ...NO_EVIDENCE, nodes }, NOW);
    expect(told).toMatchObject({ state: 'failing', failure: { code: 'unschedulable' } });
    expect(told.failure?.message).toBe(
      'No node has room for it: 0/2 nodes are available: 2 Insufficient memory. The most room is on large: 0.5 cores and 3072 MiB of memory are free. Lower its size, or add a node.',
    );
    const scaling = { ...NO_EVIDENCE, events: [{ reason: 'TriggeredScaleUp', message: '' }] };
    expect(diagnose(since(60_000), scaling, NOW).state).toBe('pending');
  });
});

test('evidence is asked for once for each trouble', () => {
  expect(trouble(pod())).toBeNull();
  expect(trouble(pod({ ready: YES }))).toBeNull();
  const first = trouble(crashLoop(ended(3)));
  expect(first).not.toBeNull();
  expect(trouble(crashLoop(ended(3)))).toBe(first);
  expect(trouble(crashLoop(ended(3, 'Error', { at: NOW })))).not.toBe(first);
});

test('without a node that takes pods nothing is said about room', () => {
  expect(explainUnschedulable('0/0 nodes are available', [])).toBe(
    'No node has room for it: 0/0 nodes are available. Lower its size, or add a node.',
  );
});
