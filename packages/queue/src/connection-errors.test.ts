import { testDatabase } from '@slipway/testing';
import { expect, test } from 'vitest';
import { isPassing, sqlState } from './connection-errors.ts';

test('errors of PostgreSQL are known by what they say, whichever copy of pg made them', async () => {
  const { pool } = await testDatabase();
  const error: unknown = await pool.query('select from nothing').catch((caught: unknown) => caught);
  // As another copy of pg would make it: the same fields, another class.
  const foreign = Object.assign(new Error('relation "nothing" does not exist'), { ...(error as object) });
  for (const one of [error, foreign]) {
    expect(sqlState(one)).toBe('42P01');
    expect(isPassing(one)).toBe(false);
  }
  expect(isPassing(Object.assign(new Error('gone'), { severity: 'FATAL', code: '57P01' }))).toBe(true);
});

test('errors of sockets and pools pass', () => {
  const broken = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' });
  expect(isPassing(broken)).toBe(true);
  expect(sqlState(broken)).toBe('');
  expect(isPassing(new Error('timeout exceeded when trying to connect'))).toBe(true);
});
