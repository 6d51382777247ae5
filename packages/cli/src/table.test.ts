import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { facts, table } from './table.ts';

test('columns are as wide as their widest cell, whatever its colour or script', () => {
  const rows = [
    ['shop', '\u001b[32mready\u001b[39m', 'x'],
    ['日本', 'rolling', ''],
  ];
  expect(stripVTControlCharacters(table(['APP', 'STATE', 'WHY'], rows))).toBe(
    ['APP   STATE    WHY', 'shop  ready    x', '日本  rolling'].join('\n'),
  );
});

test('a table without rows is its titles', () => {
  expect(stripVTControlCharacters(table(['APP'], []))).toBe('APP');
});

test('facts that are not known are left out', () => {
  expect(
    stripVTControlCharacters(
      facts([
        ['state', 'ready'],
        ['reason', null],
        ['url', 'http://x'],
      ]),
    ),
  ).toBe('state  ready\nurl    http://x');
});

test('a text of several lines is shown whole among facts, and by its first line in a table', () => {
  const reason = 'it ended\nError: no such file\n';
  expect(stripVTControlCharacters(facts([['reason', reason]]))).toBe('reason  it ended\n        Error: no such file');
  expect(stripVTControlCharacters(table(['WHY', 'APP'], [[reason, 'shop']]))).toBe('WHY       APP\nit ended  shop');
});
