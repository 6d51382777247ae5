import path from 'node:path';
import { temporaryFolder } from '@slipway/testing';
import { expect, test } from 'vitest';
import { folderStore, ObjectStoreDown, ownStore } from './index.ts';

test('while nobody can say whose a store is, it counts as down, so that no task is blamed; then it works', async () => {
  let asked = 0;
  const identity = async () => {
    asked += 1;
    if (asked === 1) throw new Error('connect ECONNREFUSED');
    return 'a queue';
  };
  const store = ownStore(folderStore(path.join(await temporaryFolder(), 'objects')), identity);
  const put = () => store.put('input/a', Buffer.from('1'));
  const refused = await put().catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(ObjectStoreDown);
  expect(String(refused)).toContain('ECONNREFUSED');
  expect(await put()).toMatchObject({ bytes: 1 });
  await put();
  expect(asked).toBe(2);
});
