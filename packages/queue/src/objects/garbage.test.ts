import { utimes } from 'node:fs/promises';
import path from 'node:path';
import { temporaryFolder } from '@slipway/testing';
import { expect, test } from 'vitest';
import { collectGarbage, folderStore, ObjectRefused, type ObjectStore } from './index.ts';

const now = Date.UTC(2026, 5, 1);
const olderThanSeconds = 86_400;

/** A store with objects of the given ages in seconds. */
async function setup(ages: Record<string, number>): Promise<{ store: ObjectStore; left: () => Promise<string[]> }> {
  const folder = path.join(await temporaryFolder(), 'objects');
  const store = folderStore(folder);
  const put = async ([key, age]: [string, number]) => {
    await store.put(key, Buffer.from('12345'));
    const then = new Date(now - age * 1_000);
    await utimes(path.join(folder, key), then, then);
  };
  await Promise.all(Object.entries(ages).map(put));
  const left = async () => (await Array.fromAsync(store.list(''))).map(({ key }) => key).toSorted();
  return { store, left };
}

const nothing = async () => new Set<string>();

test('what is old and not referred to goes; what is young, referred to or elsewhere stays', async () => {
  const { store, left } = await setup({
    'payload/h/old': olderThanSeconds + 1,
    'payload/h/used': olderThanSeconds + 1,
    'payload/h/young': olderThanSeconds - 1,
    'payload/h/exactly': olderThanSeconds,
    'payload/h/future': -3_600,
    'output/1/1-1/old': olderThanSeconds + 1,
  });
  const asked: string[][] = [];
  const isReferenced = async (keys: string[]) => {
    asked.push(keys.toSorted());
    return new Set(['payload/h/used']);
  };
  expect(await collectGarbage(store, { prefix: 'payload/', olderThanSeconds, isReferenced, now })).toEqual({
    objects: 1,
    bytes: 5,
    unfinished: 0,
  });
  expect(asked).toEqual([['payload/h/old', 'payload/h/used']]);
  expect(await left()).toEqual([
    'output/1/1-1/old',
    'payload/h/exactly',
    'payload/h/future',
    'payload/h/used',
    'payload/h/young',
  ]);
});

test('much garbage goes in batches', async () => {
  const { store, left } = await setup(
    Object.fromEntries(Array.from({ length: 1_201 }, (_, index) => [`output/${index}/1-1/a`, olderThanSeconds * 2])),
  );
  const sizes: number[] = [];
  const isReferenced = async (keys: string[]) => {
    sizes.push(keys.length);
    return new Set(keys.filter((key) => key === 'output/77/1-1/a'));
  };
  expect(await collectGarbage(store, { prefix: 'output/', olderThanSeconds, isReferenced, now })).toMatchObject({
    objects: 1_200,
  });
  expect(sizes).toEqual([500, 500, 201]);
  expect(await left()).toEqual(['output/77/1-1/a']);
});

test('nothing is deleted when it is not known what is referred to', async () => {
  const { store, left } = await setup({ 'payload/h/old': olderThanSeconds * 2 });
  const isReferenced = async () => await Promise.reject<Set<string>>(new Error('the database is away'));
  await expect(collectGarbage(store, { prefix: 'payload/', olderThanSeconds, isReferenced, now })).rejects.toThrow(
    'the database is away',
  );
  expect(await left()).toEqual(['payload/h/old']);
});

test.for([0, 7_199, -1, Number.NaN])(
  'garbage of %d seconds is refused: its row may be about to be committed',
  async (seconds) => {
    const { store, left } = await setup({ 'payload/h/old': olderThanSeconds * 2 });
    const options = { prefix: 'payload/', olderThanSeconds: seconds, isReferenced: nothing, now };
    await expect(collectGarbage(store, options)).rejects.toThrow(ObjectRefused);
    expect(await left()).toEqual(['payload/h/old']);
  },
);
