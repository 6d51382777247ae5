import { expect, test } from 'vitest';
import { nearest, toLabel } from './index.ts';

test.each<[string, string[], string | null]>([
  ['prots', ['build', 'port', 'route'], 'port'],
  ['STAGING', ['staging'], 'staging'],
  ['stagign', ['production', 'staging'], 'staging'],
  ['pull_requests', ['branch', 'pull-requests'], 'pull-requests'],
  ['x', ['y'], null],
  ['banana', ['services', 'workers'], null],
  ['a', [], null],
])('nearest(%s, %j) is %s', (name, candidates, expected) => {
  expect(nearest(name, candidates)).toBe(expected);
});

test.each<[string, string | null]>([
  ['@acme/My Shop', 'acme-my-shop'],
  ['Café_9', 'cafe-9'],
  ['---', null],
  [`${'a'.repeat(39)}-b`, 'a'.repeat(39)],
])('toLabel(%s) is %s', (text, expected) => {
  expect(toLabel(text)).toBe(expected);
});
