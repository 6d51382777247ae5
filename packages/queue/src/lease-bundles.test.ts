import { expect, test } from 'vitest';
import { explore } from './lease-explorer-under-test.ts';

/**
 * Apart from `lease-machine.test.ts`, which has the rest, since it takes as long as all of that. Tasks are claimed singly only when they can't be
 * claimed in a bundle, and of two faults at most one is the death of a worker. With two there are 4,700,000 states, all as well.
 */
test(
  'whatever two workers do with two tasks in bundles, and whatever two things go wrong: none is lost, finished twice or stuck',
  { timeout: 600_000 },
  () => {
    const { states, steps, broken, stuck } = explore({ faults: 2, deaths: 1, tasks: 2, manners: 'in bundles' }, 'none');
    console.log(`two tasks, in bundles, two faults, one of them a death: ${states} states, ${steps} steps`);
    expect(broken).toBeNull();
    expect(stuck).toBeNull();
    expect(states).toBeGreaterThan(1_000_000);
  },
);
