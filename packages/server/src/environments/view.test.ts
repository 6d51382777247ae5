import { parseApp } from '@slipway/app';
import type { EnvironmentStatus, Failure, InstanceStatus } from '@slipway/engine';
import { expect, test } from 'vitest';
import type { EnvironmentRow, RolloutRow } from '../database/records.ts';
import { stateOf } from './view.ts';

const parsed = parseApp('app: shop\nservices:\n  web: { run: web }\n');
if (!parsed.ok) throw new Error('the app of this test is not valid');
const release = { number: 3, definition: parsed.app };

function environment(more: Partial<EnvironmentRow> = {}) {
  return {
    removal: 'none',
    failure: null,
    app: 'shop',
    name: 'staging',
    heldCommit: null,
    kind: 'branch',
    plan: null,
    ...more,
  } as const;
}

function rollout(state: RolloutRow['state'], more: Partial<RolloutRow> = {}) {
  return { id: '7', state, phase: 'checks', step: 'waits for check test', approval: 'none', ...more } as const;
}

function status(instances: Partial<InstanceStatus>[], activity: EnvironmentStatus['activity'] = 'awake') {
  return {
    environment: 'shop/staging',
    generation: 1,
    activity,
    traffic: [],
    instances: instances.map((one) => ({
      id: 'i',
      release: 3,
      kind: 'service' as const,
      name: 'web',
      state: 'ready' as const,
      since: 0,
      restarts: 0,
      address: null,
      pid: null,
      failure: null,
      ...one,
    })),
    urls: {},
    lastRequestAt: null,
    notices: [],
  };
}

const ready = status([{}]);
const crashed: Failure = {
  code: 'crashed',
  message: 'it ended with 1.',
  exitCode: 1,
  signal: null,
  lastLines: ['oh no'],
};
const approving = rollout('waiting', { phase: 'approval', approval: 'required' });

// Each row of the table above `stateOf`, and what stands above it in the same case.
test.each([
  [
    'removed above all',
    environment({ removal: 'removing', failure: 'x' }),
    release,
    rollout('running'),
    ready,
    'yes',
    'removing',
    null,
  ],
  [
    'a rollout runs',
    environment({ failure: 'x' }),
    release,
    rollout('running', { step: 'starts release 4' }),
    ready,
    'yes',
    'rolling',
    'starts release 4',
  ],
  [
    'a rollout waits for a check',
    environment(),
    release,
    rollout('waiting'),
    ready,
    'yes',
    'rolling',
    'waits for check test',
  ],
  [
    'the newest rollout failed',
    environment({ failure: 'job failed' }),
    release,
    rollout('failed'),
    ready,
    'yes',
    'failing',
    'job failed',
  ],
  [
    'it failed and waits for approval',
    environment({ failure: 'job failed' }),
    release,
    approving,
    ready,
    'yes',
    'failing',
    'job failed',
  ],
  [
    'an instance of what serves fails',
    environment(),
    release,
    rollout('succeeded'),
    status([{ state: 'failing', failure: crashed }]),
    'yes',
    'failing',
    'web: it ended with 1.\noh no',
  ],
  [
    'it starts again after a failure',
    environment(),
    release,
    null,
    status([{ state: 'starting', failure: crashed }]),
    'yes',
    'failing',
    'web: it ended with 1.\noh no',
  ],
  [
    'an instance of another release fails',
    environment(),
    release,
    null,
    status([{}, { release: 2, state: 'failing', failure: crashed }]),
    'yes',
    'ready',
    null,
  ],
  [
    'one that failed is ready again',
    environment(),
    release,
    null,
    status([{ failure: crashed }]),
    'yes',
    'ready',
    null,
  ],
  ['nothing was released', environment(), null, null, null, 'yes', 'asleep', 'nothing was released to it yet'],
  [
    'nothing was promoted',
    environment({ kind: 'environment', name: 'production' }),
    null,
    null,
    null,
    'yes',
    'asleep',
    'nothing was promoted to it yet: slipway promote shop/production',
  ],
  [
    'the first waits for approval',
    environment({ kind: 'environment' }),
    null,
    approving,
    null,
    'yes',
    'asleep',
    'rollout 7 waits for approval: slipway approve 7',
  ],
  [
    'the engine never answered',
    environment(),
    release,
    null,
    null,
    'no',
    'rolling',
    'the engine does not answer yet; it is asked again until it does',
  ],
  ['the engine is gone, last seen ready', environment(), release, null, ready, 'no', 'ready', null],
  ['it sleeps', environment(), release, rollout('succeeded'), status([], 'asleep'), 'yes', 'asleep', null],
  [
    'it wakes',
    environment(),
    release,
    null,
    status([{ state: 'starting' }], 'waking'),
    'yes',
    'rolling',
    'web is starting',
  ],
  ['its instance is not there yet', environment(), release, null, status([]), 'yes', 'rolling', 'web is starting'],
  [
    'its removal waits',
    environment({ removal: 'waiting', name: 'pr-1' }),
    release,
    null,
    ready,
    'yes',
    'ready',
    'its removal waits for a person: slipway remove shop/pr-1',
  ],
  [
    'it serves while an approval is awaited',
    environment(),
    release,
    approving,
    ready,
    'yes',
    'ready',
    'rollout 7 waits for approval: slipway approve 7',
  ],
  ['all is well', environment(), release, rollout('succeeded'), ready, 'yes', 'ready', null],
] as const)('the state, when %s', (_when, row, current, newest, seen, engine, state, reason) => {
  expect(stateOf(row, current, newest, seen, engine === 'yes')).toEqual({ state, reason });
});
