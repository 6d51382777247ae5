import { createHash, randomUUID } from 'node:crypto';
import path from 'node:path';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { startProcess } from '@slipway/testing';
import { beforeAll, describe, expect, test } from 'vitest';
import { ObjectRefused, ObjectStoreDown, openStore, type ListedObject, type ObjectStore } from '../index.ts';

/** What a store's own test file gives the suite. */
export interface ConformanceSetup {
  /** An empty store. */
  url: string;
  /** With the credentials. */
  variables: Record<string, string>;
  /** Must not appear in any message. */
  secrets: string[];
  /** Takes the store away, and brings it back with what it had. */
  takeDown: () => Promise<void>;
  bringUp: () => Promise<void>;
  dispose: () => Promise<void>;
}

const MEBIBYTE = 1024 * 1024;
const client = path.join(import.meta.dirname, '../client-under-test.ts');
const oddNames = [
  'a b',
  ' edge ',
  "it's",
  '"quoted"',
  'a+b',
  '100%',
  '%41',
  'a&b<c>',
  'q?x=1#y',
  'größe',
  '名前',
  '😀',
  'a!b',
  '$',
  '*',
  '...',
  '~',
  "!'()",
  'a:b',
  'a=b;c,d@e',
];
const refusedKeys = [
  '',
  '/a',
  'a/',
  'a//b',
  '.',
  '..',
  '../a',
  'a/../b',
  'a/./b',
  'a\0b',
  'a\nb',
  'a\\b',
  '\ud800',
  '.unfinished/a',
  `a/${'n'.repeat(256)}`,
  'n/'.repeat(500) + 'n',
];

/** Every sentence of the ObjectStore contract as a test. Each store passes it unchanged. */
export function objectStoreConformance(name: string, setup: () => Promise<ConformanceSetup>): void {
  describe(`object store: ${name}`, () => {
    let made: ConformanceSetup;
    let store: ObjectStore;
    const fresh = () => `t/${randomUUID()}`;
    const found = async (key: string) => (await store.get(key)) ?? expect.unreachable(`${key} is missing`);
    const keysOf = async (prefix: string) => (await listed(store, prefix)).map(({ key }) => key).toSorted();

    beforeAll(async () => {
      made = await setup();
      store = openStore(made.url, made.variables);
      return made.dispose; // vitest calls it after the last test
    });

    test('what was put is got, listed with its size and time, and described by its hash', async () => {
      const prefix = fresh();
      const bodies = { bytes: Buffer.from('hello'), text: Readable.from(['hel', 'lo']), none: Buffer.alloc(0) };
      for (const [key, body] of Object.entries(bodies)) {
        const content = key === 'none' ? '' : 'hello';
        const sha256 = createHash('sha256').update(content).digest('hex');
        expect(await store.put(`${prefix}/${key}`, body)).toEqual({
          key: `${prefix}/${key}`,
          bytes: content.length,
          sha256,
        });
        expect(await text(await found(`${prefix}/${key}`))).toBe(content);
      }
      const objects = await listed(store, prefix);
      expect(Object.fromEntries(objects.map(({ key, bytes }) => [key, bytes]))).toEqual({
        [`${prefix}/bytes`]: 5,
        [`${prefix}/text`]: 5,
        [`${prefix}/none`]: 0,
      });
      for (const { modifiedAt } of objects) expect(Math.abs(modifiedAt - Date.now())).toBeLessThan(30_000);
    });

    test('a missing object is null, also next to and below others', async () => {
      const prefix = fresh();
      expect(await store.get(`${prefix}/a`)).toBeNull();
      await store.put(`${prefix}/a/b`, Buffer.from('x'));
      for (const key of ['a', 'b', 'a/c', 'a/b/c']) expect(await store.get(`${prefix}/${key}`), key).toBeNull();
    });

    test('an object becomes visible in one step, whole; until then the old one is', async () => {
      const prefix = fresh();
      const [anew, over] = [`${prefix}/new`, `${prefix}/over`];
      await store.put(over, Buffer.from('old'));
      const all = await keysOf('');
      const bodies = [heldBody(20 * MEBIBYTE), heldBody(20 * MEBIBYTE)] as const;
      const puts = Promise.all([store.put(anew, bodies[0].body), store.put(over, bodies[1].body)]);
      await Promise.all(bodies.map(({ reached }) => reached));
      expect(await store.get(anew)).toBeNull();
      expect(await keysOf(prefix)).toEqual([over]);
      expect(await keysOf('')).toEqual(all);
      expect(await text(await found(over))).toBe('old');
      for (const { release } of bodies) release();
      await puts;
      for (const key of [anew, over]) expect(await buffer(await found(key))).toHaveLength(20 * MEBIBYTE + 3);
    });

    test.for([1, 20])(
      'a body that fails after %i MiB leaves nothing, and its error comes out as it is',
      async (mebibytes) => {
        const key = fresh();
        const failure = new Error('the file could not be read');
        const body = Readable.from(
          (async function* () {
            for (let sent = 0; sent < mebibytes; sent += 1) yield Buffer.alloc(MEBIBYTE);
            throw failure;
          })(),
        );
        await expect(store.put(key, body)).rejects.toBe(failure);
        expect(await store.get(key)).toBeNull();
        expect(await store.discardUnfinished(Date.now() + 3_600_000)).toBe(0);
      },
    );

    test('of twenty puts to one key at once, one wins, whole', async () => {
      const key = fresh();
      const bodies = Array.from({ length: 20 }, (_, index) => Buffer.alloc(200_000, index + 1));
      await Promise.all(bodies.map(async (body) => await store.put(key, body)));
      const content = await buffer(await found(key));
      expect(bodies.some((body) => body.equals(content))).toBe(true);
    });

    test('puts and deletes next to each other do not disturb each other', async () => {
      const prefix = fresh();
      const keys = Array.from({ length: 40 }, (_, index) => `${prefix}/deep/folder/${index + 10}`);
      await Promise.all(
        keys.map(async (key, index) => {
          await store.put(key, Buffer.from(key));
          if (index % 2 === 0) await store.delete([key]);
        }),
      );
      expect(await keysOf(prefix)).toEqual(keys.filter((_, index) => index % 2 === 1));
    });

    test.for([1, 20])(
      'kill -9 of a process that has put %i MiB leaves nothing visible, and its room can be freed',
      async (mebibytes) => {
        const key = fresh();
        const all = await keysOf('');
        const writer = startProcess(process.execPath, [client, made.url, 'hold', key, String(mebibytes)], {
          env: made.variables,
        });
        await writer.waitForOutput(/^holds$/m);
        await writer.kill();
        expect(await store.get(key)).toBeNull();
        expect(await keysOf('')).toEqual(all);
        expect(await store.discardUnfinished(Date.now() - 3_600_000)).toBe(0); // too young: it could be alive
        await store.discardUnfinished(Date.now() + 3_600_000);
        expect(await store.discardUnfinished(Date.now() + 3_600_000)).toBe(0);
        await store.put(key, Buffer.from('x'));
        expect(await text(await found(key))).toBe('x');
      },
    );

    test('a large object goes through little memory', async () => {
      const copier = startProcess(process.execPath, [client, made.url, 'copy', fresh(), '256'], {
        env: made.variables,
      });
      const result: Record<string, unknown> = JSON.parse((await copier.waitForOutput(/^\{.*\}$/m, 50))[0]);
      expect(result).toMatchObject({ bytes: 256 * MEBIBYTE, got: result['put'] });
      expect(result['grownMebibytes']).toBeLessThan(192);
    });

    test('keys may have odd characters', async () => {
      const prefix = fresh();
      const keys = oddNames.map((odd) => `${prefix}/${odd}/${odd}`);
      for (const key of keys) await store.put(key, Buffer.from(key));
      for (const key of keys) expect(await text(await found(key))).toBe(key);
      expect(await keysOf(prefix)).toEqual(keys.toSorted());
      expect(await keysOf(`${prefix}/größe/gr`)).toEqual([`${prefix}/größe/größe`]);
      await store.delete(keys.slice(1));
      expect(await keysOf(prefix)).toEqual(keys.slice(0, 1));
    });

    test('keys that a store could not keep are refused', async () => {
      for (const key of refusedKeys)
        for (const attempt of [store.put(key, Buffer.from('x')), store.get(key), store.delete([key])]) {
          await expect(attempt, key).rejects.toBeInstanceOf(ObjectRefused);
        }
    });

    test('more than a thousand objects are listed and deleted; a prefix may end within a name', async () => {
      const prefix = fresh();
      const keys = Array.from({ length: 1_105 }, (_, index) => `${prefix}/${index % 7}/n${index}`);
      const waiting = [...keys];
      await Promise.all(
        Array.from({ length: 16 }, async () => {
          for (let key = waiting.pop(); key !== undefined; key = waiting.pop()) await store.put(key, Buffer.from('x'));
        }),
      );
      expect(await keysOf(prefix)).toEqual(keys.toSorted());
      expect(await keysOf(`${prefix}/0/n11`)).toEqual([`${prefix}/0/n112`, `${prefix}/0/n119`]);
      await store.delete(keys);
      expect(await keysOf(prefix)).toEqual([]);
    });

    test('deleting what is not there is fine', async () => {
      const key = fresh();
      await store.delete([]);
      await store.delete([key]);
      await store.put(key, Buffer.from('x'));
      await store.delete([key, `${key}-not`]);
      await store.delete([key]);
      expect(await store.get(key)).toBeNull();
    });

    test('a store that is away says so, shows no secret, and goes on when it is back', async () => {
      const key = fresh();
      await store.put(key, Buffer.from('x'));
      await made.takeDown();
      const attempts = [
        store.put(`${key}-2`, Buffer.from('x')),
        store.get(key),
        store.get(`${key}-3`),
        listed(store, key),
        store.delete([key]),
        store.discardUnfinished(Date.now()),
      ];
      for (const attempt of await Promise.allSettled(attempts)) {
        expect(attempt).toMatchObject({ status: 'rejected', reason: expect.any(ObjectStoreDown) as unknown });
        const said = inspect(attempt, { depth: 10, showHidden: true });
        for (const secret of made.secrets) expect(said).not.toContain(secret);
      }
      await made.bringUp();
      expect(await keysOf(key)).toEqual([key]);
    });
  });
}

async function listed(store: ObjectStore, prefix: string): Promise<ListedObject[]> {
  return await Array.fromAsync(store.list(prefix));
}

/** A body that gives `bytes`, and its last three only when it is released. */
function heldBody(bytes: number): { body: Readable; reached: Promise<void>; release: () => void } {
  const reached = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const body = Readable.from(
    (async function* () {
      for (let sent = 0; sent < bytes; sent += MEBIBYTE) yield Buffer.alloc(MEBIBYTE);
      reached.resolve();
      await released.promise;
      yield Buffer.from('end');
    })(),
  );
  return { body, reached: reached.promise, release: released.resolve };
}
