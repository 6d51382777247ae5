import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { temporaryFolder } from '@slipway/testing';
import { expect, test } from 'vitest';
import { buildIfMissing } from '../node/index.ts';

// Of its own: the other tests serve the real one meanwhile.
const folder = join(await temporaryFolder(), 'dist');
const stamp = join(folder, 'sources.sha256');
const page = join(folder, 'index.html');

test('is built once for the same sources', async () => {
  expect(await buildIfMissing(folder)).toBe(folder);
  const built = await stat(page);
  await buildIfMissing(folder);
  expect((await stat(page)).ino).toBe(built.ino);
});

test('is built anew when the stamp is not that of the sources, by several at once too', async () => {
  await buildIfMissing(folder);
  const right = await readFile(stamp, 'utf8');
  await writeFile(stamp, 'of other sources');
  await Promise.all([buildIfMissing(folder), buildIfMissing(folder), buildIfMissing(folder)]);
  expect(await readFile(stamp, 'utf8')).toBe(right);
  expect(await readFile(page, 'utf8')).toContain('<div id="root">');
});

test('needs nothing but its own files: no inline script, no other host, a hash in every name', async () => {
  await buildIfMissing(folder);
  const html = await readFile(page, 'utf8');
  expect(html).not.toMatch(/<script(?![^>]*\ssrc=)|\son\w+=|https?:\/\//);
  expect(html).toContain('default-src &#39;none&#39;');
  const assets = await readdir(join(folder, 'assets'));
  expect(assets.filter((name) => !/-[\w-]{8}\.(?:js|css|svg|woff2)$/.test(name))).toEqual([]);
});

test('is small', async () => {
  await buildIfMissing(folder);
  const assets = join(folder, 'assets');
  const scripts = (await readdir(assets)).filter((name) => name.endsWith('.js'));
  const sizes = await Promise.all(scripts.map(async (name) => gzipSync(await readFile(join(assets, name))).byteLength));
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(110_000);
});
