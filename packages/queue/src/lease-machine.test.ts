import { testDatabase } from '@slipway/testing';
import { expect, test } from 'vitest';
import { Case, extraMoves } from './lease-case-under-test.ts';
import type { Bug } from './lease-change-under-test.ts';
import { type Exploration, explore } from './lease-explorer-under-test.ts';
import type { Beginning } from './lease-world-under-test.ts';
import { Queue } from './queue.ts';
import { rescueBundles } from './statements/bundle.ts';
import { namesIn } from './statements/names.ts';
import { promoteDue } from './statements/promote.ts';
import { rescueTasks } from './statements/rescue.ts';

const singly = { faults: 2, deaths: 2, tasks: 2, manners: 'singly' } as const;
const bundles = { faults: 1, deaths: 1, tasks: 2, manners: 'also in bundles' } as const;

const oneInBundle = { ...bundles, tasks: 1 } as const;

/** Explored once, for more than one test. */
const explored = new Map<Beginning, Exploration>();

function exploredFrom(begin: Beginning): Exploration {
  const known = explored.get(begin) ?? explore(begin, 'none');
  explored.set(begin, known);
  return known;
}

/** What bundles come to with two tasks and two faults, `lease-bundles.test.ts` explores. */
const beginnings: [string, Beginning, number][] = [
  ['two tasks, one by one, two faults', singly, 500_000],
  ['two tasks, one by one and in bundles, one fault', bundles, 100_000],
  ['one task, alone and in a bundle, two faults', { ...singly, tasks: 1, manners: 'also in bundles' }, 150_000],
];

test.for(beginnings)(
  'whatever two workers do, and whatever goes wrong with them, no task is lost, finished twice or stuck: %s',
  { timeout: 300_000 },
  ([what, begin, least]) => {
    const { states, steps, broken, stuck } = exploredFrom(begin);
    console.log(`${what}: ${states} states, ${steps} steps`);
    expect(broken).toBeNull();
    expect(stuck).toBeNull();
    expect(states).toBeGreaterThan(least);
  },
);

test.for<[Bug, RegExp, Beginning]>([
  ['ends count under any lease', /^an end counted that came under an old lease/, singly],
  ['rescue keeps the lease', /^a task changed hands and its lease did not grow/, singly],
  ['a repeated end is always believed', /^two attempts were told that they finished the task/, { ...singly, tasks: 1 }],
  ['escalation goes back to normal', /^a task left the lane fallback/, { ...singly, tasks: 1 }],
  ['rescue forgets a cancel', /^a cancel was forgotten/, { ...singly, tasks: 1 }],
  ['a claim does not look into bundles', /^a task was given to two workers/, bundles],
  ['an end does not look for its bundle', /^an end counted/, bundles],
  [
    'a task is taken out of a bundle that is gone',
    /^an end counted of a task that nobody has/,
    { ...oneInBundle, faults: 2 },
  ],
  ['a rescue gives the lease of a bundle again', /^a task changed hands and its lease did not grow/, oneInBundle],
  ['what was taken back has its old lease', /^a task changed hands and its lease did not grow/, oneInBundle],
  ['a cancel takes what is in a bundle for waiting', /^a cancel deleted a task that somebody works on/, oneInBundle],
  [
    'what a cancel took out ends with its bundle',
    /^an end was refused of the attempt that holds the task/,
    { ...bundles, faults: 2 },
  ],
  ['a bundle closes with its first end', /^a bundle was closed that leases a task/, bundles],
])('the explorer finds: %s', { timeout: 120_000 }, ([bug, what, begin]) => {
  expect(explore(begin, bug).broken).toMatch(what);
});

test.for<[Bug, Beginning]>([
  ['rows are deleted while a claim is under way', { ...singly, faults: 1, tasks: 1 }],
  ['strays are left', { ...singly, faults: 1, tasks: 1 }],
  ['suspects are forgotten', { ...singly, tasks: 1 }],
  ['rescue forgets bundles', oneInBundle],
  ['stray bundles are left', oneInBundle],
])('the explorer finds tasks that are stuck when %s', { timeout: 300_000 }, ([bug, begin]) => {
  expect(explore(begin, bug).stuck).not.toBeNull();
  expect(explore(begin, 'none').stuck).toBeNull();
});

test('every statement does on PostgreSQL what the machine says', { timeout: 120_000 }, async () => {
  const { pool } = await testDatabase();
  await new Queue({ pool }).migrate();
  const names = namesIn('slipway_queue');
  const distinct = new Map(beginnings.flatMap(([, begin]) => [...exploredFrom(begin).moves]));
  const cases = [...distinct.values(), ...extraMoves()].map((move, n) => new Case(n, move));
  console.log(`${cases.length} moves are held against PostgreSQL`);
  expect(cases.length).toBeGreaterThan(250);
  for (const one of cases) await one.prepare(pool, names);
  for (const one of cases) await one.act(pool, names);
  // These look for their tasks themselves.
  await promoteDue(pool, names);
  await rescueBundles(pool, names);
  while ((await rescueTasks(pool, names, 'restore')).length > 0);
  for (const one of cases) expect(await one.found(pool, names), one.name).toEqual(one.expected());
});
