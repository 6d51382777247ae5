import { expect, test } from 'vitest';
import { parseQuery, writeReply } from './dns-server.ts';

/** As a resolver asks for the address of `web.shop`. */
const query = Buffer.from('abcd01000001000000000000037765620473686f700000010001', 'hex');

test('a question is read and answered with each address', () => {
  const parsed = parseQuery(query);
  expect(parsed).toMatchObject({ id: 0xabcd, name: 'web.shop', type: 1 });
  if (parsed === null) return;
  const reply = writeReply(parsed, ['10.96.0.7', '10.96.0.8'], 0).toString('hex');
  expect(reply).toBe(
    'abcd84800001000200000000037765620473686f700000010001' +
      'c00c000100010000000500040a600007' +
      'c00c000100010000000500040a600008',
  );
});

test('what is no question is not answered', () => {
  expect(parseQuery(Buffer.alloc(5))).toBeNull();
  expect(parseQuery(query.subarray(0, 20))).toBeNull();
  expect(parseQuery(Buffer.concat([query.subarray(0, 5), Buffer.from([2]), query.subarray(6)]))).toBeNull();
});
