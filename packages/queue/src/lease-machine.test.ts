import { testDatabase } from '@slipway/testing';
import { expect, test } from 'vitest';
import { Case, extraMoves } from './lease-case-under-test.ts';
import type { Bug } from './lease-change-under-test.ts';
import { explore } from './lease-explorer-under-test.ts';
import { Queue } from './queue.ts';
import { namesIn } from './statements/names.ts';
import { promoteDue } from './statements/promote.ts';
import { rescueTasks } from './statements/rescue.ts';

test(
  'whatever two workers do with two tasks, and whatever goes wrong with them: none is lost, none is finished twice, none is stuck',
  { timeout: 300_000 },
  () => {
    const { states, steps, broken, stuck } = explore(2, 'none');
    console.log(`the lease machine has ${states} states and ${steps} steps with two faults`);
    expect(broken).toBeNull();
    expect(stuck).toBeNull();
    expect(states).toBeGreaterThan(400_000);
  },
);

test.for<[Bug, RegExp]>([
  ['ends count under any lease', /^an end counted that came under an old lease/],
  ['rescue keeps the lease', /^a task changed hands and its lease did not grow/],
  ['a repeated end is always believed', /^two attempts were told that they finished the task/],
  ['escalation goes back to normal', /^a task left the lane fallback/],
  ['rescue forgets a cancel', /^a cancel was forgotten/],
])('the explorer finds: %s', { timeout: 120_000 }, ([bug, what]) => {
  expect(explore(2, bug).broken).toMatch(what);
});

test.for<[Bug, number]>([
  ['rows are deleted while a claim is under way', 1],
  ['strays are left', 1],
  ['suspects are forgotten', 2],
])('the explorer finds tasks that are stuck when %s', { timeout: 300_000 }, ([bug, faults]) => {
  expect(explore(faults, bug, 1).stuck).not.toBeNull();
  expect(explore(faults, 'none', 1).stuck).toBeNull();
});

test('every statement does on PostgreSQL what the machine says', { timeout: 120_000 }, async () => {
  const { pool } = await testDatabase();
  await new Queue({ pool }).migrate();
  const names = namesIn('slipway_queue');
  const { moves } = explore(1, 'none');
  const cases = [...moves.values(), ...extraMoves()].map((move, n) => new Case(n, move));
  expect(cases.length).toBeGreaterThan(40);
  for (const one of cases) await one.prepare(pool, names);
  for (const one of cases) await one.act(pool, names);
  // These look for their tasks themselves.
  await promoteDue(pool, names);
  while ((await rescueTasks(pool, names, 'restore')).length > 0);
  for (const one of cases) expect(await one.found(pool, names), one.name).toEqual(one.expected());
});
