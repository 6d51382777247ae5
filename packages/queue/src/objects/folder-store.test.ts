import { rename } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { temporaryFolder } from '@slipway/testing';
import { expect, test } from 'vitest';
import { objectStoreConformance } from './conformance/index.ts';
import { folderStore } from './index.ts';

objectStoreConformance('folder', async () => {
  const folder = path.join(await temporaryFolder(), 'objects of mine');
  return {
    url: pathToFileURL(folder).href,
    variables: {},
    secrets: [],
    takeDown: async () => await rename(folder, `${folder}.away`),
    bringUp: async () => await rename(`${folder}.away`, folder),
    dispose: async () => undefined, // the run's folder goes as a whole
  };
});

test('a folder that a delete removes as empty does not fail the put that has just made it', async () => {
  const store = folderStore(path.join(await temporaryFolder(), 'objects'));
  const rounds = async (key: string) => {
    for (let round = 0; round < 100; round += 1) {
      await store.put(key, Buffer.from(key));
      await store.delete([key]);
    }
  };
  await Promise.all(['a/b/c/1', 'a/b/c/2', 'a/b/d/3'].map(rounds));
  expect(await Array.fromAsync(store.list(''))).toEqual([]);
});
