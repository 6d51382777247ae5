import { expect, test } from 'vitest';
import { addressesOf, overlap } from './addresses.ts';

test('subnets overlap when one holds the other', () => {
  expect(overlap('10.200.0.0/24', '10.0.0.0/8')).toBe(true);
  expect(overlap('10.200.0.0/24', '10.200.0.7')).toBe(true);
  expect(overlap('10.200.0.0/24', '10.200.1.0/24')).toBe(false);
  expect(overlap('192.0.2.0/24', '10.0.0.0/8')).toBe(false);
  expect(overlap('0.0.0.0/0', '10.0.0.0/8')).toBe(true);
});

test('clusters of different slots share no address', () => {
  const subnets = [0, 1, 2].map(addressesOf).flatMap(({ nodes, pods, services }) => [nodes, pods, services]);
  const pairs = subnets.flatMap((one, index) => subnets.slice(index + 1).map((other) => [one, other] as const));
  expect(pairs.filter(([one, other]) => overlap(one, other))).toEqual([]);
});
