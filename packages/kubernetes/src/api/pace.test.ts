import { expect, test } from 'vitest';
import { Pace } from './pace.ts';

/** A pace whose time passes only while somebody waits. */
function paced(perSecond: number) {
  let now = 0;
  const waits: number[] = [];
  const pace = new Pace({
    perSecond,
    now: () => now,
    wait: async (milliseconds) => {
      waits.push(milliseconds);
      now += milliseconds;
    },
  });
  return { pace, waits, pass: (milliseconds: number) => (now += milliseconds), now: () => now };
}

test('a burst goes at once, what is beyond it at the rate', async () => {
  const { pace, now } = paced(10);
  for (let index = 0; index < 10; index += 1) await pace.turn();
  expect(now()).toBe(0);
  for (let index = 0; index < 20; index += 1) await pace.turn();
  expect(now()).toBeCloseTo(2000, -2);
});

test('429 closes until Retry-After is over, and halves the rate', async () => {
  const { pace, waits } = paced(100);
  pace.overloaded(5);
  expect(pace.rate).toBe(50);
  await pace.turn();
  expect(waits[0]).toBeGreaterThanOrEqual(5000);
});

test('rising latency slows down, answers as before speed up again', () => {
  const { pace, pass } = paced(100);
  pace.answered(20);
  for (let index = 0; index < 10; index += 1) {
    pass(2_000);
    pace.answered(2_000);
  }
  const slow = pace.rate;
  expect(slow).toBeLessThan(50);
  for (let index = 0; index < 10_000; index += 1) pace.answered(20);
  expect(pace.rate).toBe(100);
});

test('it never stops altogether', () => {
  const { pace } = paced(100);
  for (let index = 0; index < 50; index += 1) pace.overloaded(0);
  expect(pace.rate).toBeGreaterThan(0);
});

test('the slow answers to one burst slow down once', () => {
  const { pace, pass } = paced(100);
  pace.answered(20);
  pass(3_000);
  for (let index = 0; index < 100; index += 1) pace.answered(2_000);
  expect(pace.rate).toBe(80);
});

test('who waits feels that the rate grows', async () => {
  const { pace, now } = paced(100);
  for (let index = 0; index < 100; index += 1) await pace.turn();
  for (let index = 0; index < 50; index += 1) pace.overloaded(0);
  const line = Array.from({ length: 100 }, async () => await pace.turn());
  for (let index = 0; index < 1_000; index += 1) pace.answered(20);
  await Promise.all(line);
  expect(now()).toBeLessThan(10_000);
});
