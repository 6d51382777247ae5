import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { s3Server, temporaryFolder, waitFor, type S3Server } from '@slipway/testing';
import { afterAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { download, ObjectStoreDown, s3Store, upload, type ObjectStore, type S3Options } from './index.ts';
import { slowProxy, type SlowProxy } from './slow-proxy-under-test.ts';

const MEBIBYTE = 1024 * 1024;
const server = await s3Server('the tests of a failing S3 server');

describe.skipIf(server === null)('S3, when things go wrong', () => faults(server as S3Server));

function faults(s3: S3Server): void {
  let count = 0;
  let prefix = '';
  const storeWith = (more: Partial<S3Options> = {}): ObjectStore => s3Store({ ...s3, prefix, ...more });
  const proxied = async (): Promise<SlowProxy> => {
    const proxy = await slowProxy(s3.endpoint);
    onTestFinished(async () => await proxy.stop());
    return proxy;
  };
  /** How many bytes are got. */
  const readOf = async (store: ObjectStore) => {
    const content = (await store.get('big')) ?? expect.unreachable('it is missing');
    return (await buffer(content)).length;
  };
  const keysOf = async (store: ObjectStore) => (await Array.fromAsync(store.list(''))).map(({ key }) => key);

  beforeEach(async () => {
    prefix = `test-${(count += 1)}`;
    await s3.start();
  });
  afterAll(async () => await s3.stop());

  test('the server is killed in the middle of an upload: nothing is visible afterwards, and it works again', async () => {
    const store = storeWith();
    const reached = Promise.withResolvers<void>();
    const killed = Promise.withResolvers<void>();
    const body = Readable.from(
      (async function* () {
        for (let sent = 0; sent < 20; sent += 1) yield Buffer.alloc(MEBIBYTE);
        reached.resolve();
        await killed.promise;
        for (let sent = 0; sent < 20; sent += 1) yield Buffer.alloc(MEBIBYTE);
      })(),
    );
    const put = store.put('big', body);
    const outcome = expect(put).rejects.toThrow(ObjectStoreDown);
    await reached.promise;
    await s3.kill();
    killed.resolve();
    await outcome;
    await expect(put).rejects.toThrow(/ECONNREFUSED/);
    await s3.start();
    expect(await store.get('big')).toBeNull();
    expect(await keysOf(store)).toEqual([]);
    expect(await store.discardUnfinished(Date.now() + 3_600_000)).toBe(1);
    await store.put('big', Buffer.alloc(20 * MEBIBYTE));
    expect(await keysOf(store)).toEqual(['big']);
  });

  test('the server is killed while an attempt uploads its folder: there is no manifest, and the next attempt uploads it whole', async () => {
    const folder = await temporaryFolder();
    for (const name of ['a', 'b', 'c']) await writeFile(path.join(folder, name), Buffer.alloc(12 * MEBIBYTE));
    const proxy = await proxied();
    const uploaded = upload(storeWith({ endpoint: proxy.endpoint }), folder, 'output/1/1-1');
    const outcome = expect(uploaded).rejects.toThrow(ObjectStoreDown);
    proxy.set({ kind: 'slow', bytesPerSecond: 20 * MEBIBYTE });
    await waitFor(() => proxy.passed() > 4 * MEBIBYTE, { what: 'the upload to be under way' });
    await s3.kill();
    await outcome;
    await s3.start();
    const whole = await upload(storeWith(), folder, 'output/1/2-2');
    expect(whole.files.map(({ bytes }) => bytes)).toEqual([12, 12, 12].map((mebibytes) => mebibytes * MEBIBYTE));
  });

  test('the server is down when an attempt wants its input', async () => {
    const store = storeWith();
    await store.put('in/a', Buffer.from('x'));
    const folder = path.join(await temporaryFolder(), 'input');
    await s3.kill();
    await expect(download(store, [{ name: 'a', key: 'in/a' }], folder)).rejects.toThrow(ObjectStoreDown);
    await s3.start();
    await download(store, [{ name: 'a', key: 'in/a' }], folder);
  });

  test('the server is killed in the middle of a download', async () => {
    const proxy = await proxied();
    const store = storeWith({ endpoint: proxy.endpoint });
    await store.put('big', Buffer.alloc(16 * MEBIBYTE));
    proxy.set({ kind: 'slow', bytesPerSecond: 8 * MEBIBYTE });
    const reading = readOf(store);
    const outcome = expect(reading).rejects.toThrow(ObjectStoreDown);
    const before = proxy.passed();
    await waitFor(() => proxy.passed() > before + MEBIBYTE, { what: 'the download to be under way' });
    await s3.kill();
    await outcome;
  });

  test('a download that is cut off is noticed, wherever it is cut', async () => {
    const proxy = await proxied();
    const store = storeWith({ endpoint: proxy.endpoint });
    await store.put('big', Buffer.alloc(3 * MEBIBYTE, 'x'));
    const folder = path.join(await temporaryFolder(), 'input');
    for (const [index, afterBytes] of [10, 2_000, MEBIBYTE, 3 * MEBIBYTE].entries()) {
      proxy.set({ kind: 'cut', afterBytes });
      const downloaded = download(store, [{ name: `${index}`, key: 'big' }], folder);
      await expect(downloaded, `after ${afterBytes} bytes`).rejects.toThrow(ObjectStoreDown);
    }
  });

  test('a slow server is waited for as long as it moves', async () => {
    const proxy = await proxied();
    const store = storeWith({ endpoint: proxy.endpoint, stallSeconds: 1 });
    await store.put('big', Buffer.alloc(4 * MEBIBYTE, 'x'));
    proxy.set({ kind: 'slow', bytesPerSecond: 2.5 * MEBIBYTE });
    const began = performance.now();
    expect(await readOf(store)).toBe(4 * MEBIBYTE);
    expect(performance.now() - began).toBeGreaterThan(1_200); // longer than it may stand still
  });

  test('a server that falls silent is given up: before the answer, in the middle of it, and while it is sent something', async () => {
    const proxy = await proxied();
    const store = storeWith({ endpoint: proxy.endpoint, stallSeconds: 0.3 });
    await store.put('big', Buffer.alloc(4 * MEBIBYTE, 'x'));
    proxy.set({ kind: 'silent', afterBytes: 0 });
    await expect(store.get('big')).rejects.toThrow(/nothing moved for 0.3 s/);
    await expect(store.put('other', Buffer.from('x'))).rejects.toThrow(/nothing moved for 0.3 s/);
    await expect(keysOf(store)).rejects.toThrow(ObjectStoreDown);
    proxy.set({ kind: 'silent', afterBytes: MEBIBYTE });
    const reading = readOf(store);
    await expect(reading).rejects.toThrow(ObjectStoreDown);
    await expect(reading).rejects.toThrow(/get "big" to its end: nothing moved for 0.3 s/);
  });

  test('wrong credentials and a missing bucket are the fault of the store, not of the object', async () => {
    await storeWith().put('a', Buffer.from('x'));
    const cases: [Partial<S3Options>, RegExp][] = [
      [{ bucket: 'none' }, /404 NoSuchBucket.*Make the bucket|404: there is no such bucket/],
      [{ secretAccessKey: 'another-secret' }, /403 SignatureDoesNotMatch.*Check AWS_ACCESS_KEY_ID/],
      [{ accessKeyId: 'NOBODY' }, /answered 40[34]/], // Amazon says 403, this server 404
    ];
    for (const [wrong, message] of cases) {
      const store = storeWith(wrong);
      const attempts = [
        store.get('a'),
        store.put('a', Buffer.from('x')),
        store.delete(['a']),
        store.discardUnfinished(0),
        keysOf(store),
      ];
      for (const attempt of await Promise.allSettled(attempts)) {
        expect(attempt).toMatchObject({ status: 'rejected', reason: expect.any(ObjectStoreDown) as unknown });
        const said = inspect(attempt, { depth: 10, showHidden: true });
        expect(said).toMatch(message);
        expect(said).not.toMatch(/another-secret|NOBODY|TESTACCESSKEY/);
      }
    }
  });

  test('what others have in the bucket is not ours', async () => {
    const [ours, all] = [storeWith(), storeWith({ prefix: '' })];
    await ours.put('a', Buffer.from('x'));
    await all.put(`${prefix}-more/a`, Buffer.from('x'));
    expect(await keysOf(ours)).toEqual(['a']);
    expect(await keysOf(all)).toEqual(expect.arrayContaining([`${prefix}/a`, `${prefix}-more/a`]));
  });
}
