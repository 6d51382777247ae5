import { expect, test } from 'vitest';
import { beginsSweep, LineCursor, type Place } from './line-cursor.ts';

const places = (...positions: number[]): Place[] => positions.map((position) => ({ priority: 0, position }));

/** What the cursor says to look at. */
function look(cursor: LineCursor) {
  return cursor.next() ?? expect.unreachable('there is nothing to look at');
}

test('a sweep goes on behind what was claimed, and ends with a claim that got less than it asked for', () => {
  const cursor = new LineCursor();
  const first = look(cursor);
  expect(beginsSweep(first)).toBe(true);
  cursor.claimed(first, places(4, 7), 2);
  expect(look(cursor)).toMatchObject({ priority: 0, position: 8 });
  cursor.claimed(look(cursor), places(9), 2);
  expect(cursor.next()).toBeNull();
  expect(cursor.state).toBe('nothing');
});

test('what is told during a look is looked at, also when the look found nothing', () => {
  const cursor = new LineCursor();
  cursor.claimed(look(cursor), [], 5);
  cursor.told({ priority: 0, position: 20 });
  const level = look(cursor);
  cursor.told({ priority: 0, position: 25 });
  cursor.told({ priority: -1, position: 30 });
  cursor.claimed(level, [], 5);
  expect(look(cursor)).toEqual({ priority: -1, position: 30, upToPriority: -1 });
  cursor.claimed(look(cursor), [], 5);
  expect(look(cursor)).toEqual({ priority: 0, position: 25, upToPriority: 0 });
});

test('a sweep that comes to no end is given up, and claims go on from where they were', () => {
  const cursor = new LineCursor();
  cursor.claimed(look(cursor), places(100, 101), 2);
  cursor.sweepAgain();
  cursor.failed(look(cursor));
  expect(look(cursor)).toMatchObject({ priority: 0, position: 101 });
  // What was told is not forgotten either.
  cursor.claimed(look(cursor), [], 2);
  cursor.told({ priority: 0, position: 90 });
  cursor.sweepAgain();
  cursor.failed(look(cursor));
  cursor.claimed(look(cursor), [], 2);
  cursor.failed(look(cursor)); // not a sweep: it is looked at again
  expect(cursor.state).toBe('maybe');
});
