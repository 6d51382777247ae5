import { appendFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { temporaryFolder } from '@slipway/testing';
import { expect, test } from 'vitest';
import {
  folderStore,
  loadPayload,
  ObjectDamaged,
  ObjectMissing,
  ObjectStoreDown,
  payloadReference,
  storePayload,
  type ObjectStore,
  type PayloadReference,
} from './index.ts';

const limit = 64 * 1024;
const noon = Date.UTC(2026, 0, 2, 12, 59);

async function setup(): Promise<{ folder: string; store: ObjectStore }> {
  const folder = path.join(await temporaryFolder(), 'objects');
  return { folder, store: folderStore(folder) };
}

/** JSON of exactly so many bytes. */
function jsonOf(bytes: number, character = 'x'): string {
  return JSON.stringify(character.repeat((bytes - 2) / Buffer.byteLength(character)));
}

async function stored(store: ObjectStore, json: string): Promise<PayloadReference> {
  return (await storePayload(store, json, noon)) ?? expect.unreachable('it should be in the store');
}

test.for(['x', 'ö', '\u2028'])(
  'payloads of more than 64 KiB of UTF-8 (%j) go into the store, and come back exactly',
  async (character) => {
    const { store } = await setup();
    const size = Buffer.byteLength(character);
    const fits = jsonOf(limit - ((limit - 2) % size), character);
    expect(await storePayload(store, fits, noon)).toBeNull();
    const large = `${fits} `.padEnd(fits.length + (limit + 1 - Buffer.byteLength(fits)));
    const reference = await stored(store, large);
    expect(reference).toEqual({
      $object: `payload/2026-01-02T12/${reference.sha256}`,
      bytes: limit + 1,
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown,
    });
    expect(payloadReference(JSON.parse(JSON.stringify(reference)))).toEqual(reference);
    expect(await loadPayload(store, reference)).toBe(large);
  },
);

test('a hundred equal payloads of one hour are one object', async () => {
  const { store } = await setup();
  const references = await Promise.all(Array.from({ length: 100 }, async () => await stored(store, jsonOf(limit * 2))));
  expect(new Set(references.map(({ $object }) => $object)).size).toBe(1);
  expect(await Array.fromAsync(store.list('payload/'))).toHaveLength(1);
});

test.for([
  '{"$object":"payload/of-somebody-else","bytes":1,"sha256":""}',
  '{"\\u0024object":1}',
  '{"$\\u006fbject":1}',
])('the small payload %s can not pass for a reference', async (forged) => {
  const { store } = await setup();
  expect(await loadPayload(store, await stored(store, forged))).toBe(forged);
});

test.for(['null', '"$object"', '["$object"]', '{"a":{"$object":1}}', '{"a":"\\u0000"}', '{"object":1}'])(
  'the small payload %s stays in the row',
  async (json) => {
    expect(await storePayload((await setup()).store, json, noon)).toBeNull();
    expect(payloadReference(JSON.parse(json))).toBeNull();
  },
);

test.for([{ $object: 'output/1/1-1/a', bytes: 1, sha256: 'a'.repeat(64) }, { $object: 1 }, { $object: 'payload/x' }])(
  'the broken reference %j can never be loaded',
  (broken) => expect(() => payloadReference(broken)).toThrow(ObjectDamaged),
);

test('content that is missing, cut short, swollen or changed is told apart from a store that is away', async () => {
  const { folder, store } = await setup();
  const json = jsonOf(limit * 2);
  const reference = await stored(store, json);
  const file = path.join(folder, reference.$object);
  const content = Buffer.from(json);
  const damages: [RegExp, () => Promise<void>][] = [
    [/has only 10/, async () => await writeFile(file, content.subarray(0, 10))],
    [/has more/, async () => await writeFile(file, content).then(async () => await appendFile(file, 'x'))],
    [/its SHA-256 should be/, async () => await writeFile(file, content.with(100, 'y'.charCodeAt(0)))],
  ];
  for (const [message, damage] of damages) {
    await damage();
    const loaded = loadPayload(store, reference);
    await expect(loaded).rejects.toBeInstanceOf(ObjectDamaged);
    await expect(loaded).rejects.toThrow(message);
  }
  await rm(file);
  await expect(loadPayload(store, reference)).rejects.toBeInstanceOf(ObjectMissing);
  await rename(folder, `${folder}.away`);
  await expect(loadPayload(store, reference)).rejects.toBeInstanceOf(ObjectStoreDown);
  await expect(storePayload(store, json, noon)).rejects.toBeInstanceOf(ObjectStoreDown);
  await rename(`${folder}.away`, folder);
});
