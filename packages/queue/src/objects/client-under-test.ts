import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { openStore } from './open-store.ts';

/**
 * A process that uses an object store, for tests: `client-under-test.ts URL hold|copy KEY MEBIBYTES`. `hold` puts so much and then
 * neither more nor the end; `copy` puts an object and reads it back, and writes its SHA-256 and how much its memory grew.
 */

const [url = '', what, key = '', mebibytes = '0'] = process.argv.slice(2);
const store = openStore(url);
const chunk = Buffer.alloc(256 * 1024, 'x');
const chunks = Number(mebibytes) * 4;

async function* content(): AsyncGenerator<Buffer> {
  for (let sent = 0; sent < chunks; sent += 1) yield chunk;
  if (what !== 'hold') return;
  console.log('holds');
  await new Promise((resolve) => process.stdin.once('data', resolve));
}

// Once with little, so that what grows afterwards is not the loading of code.
await store.put(`${key}.first`, Buffer.from('x'));
await store.delete([`${key}.first`]);
const before = process.memoryUsage.rss();
const put = await store.put(key, Readable.from(content()));
const hash = createHash('sha256');
for await (const piece of (await store.get(key)) ?? []) hash.update(piece as Buffer);
const grownMebibytes = (process.resourceUsage().maxRSS - before / 1024) / 1024;
console.log(JSON.stringify({ put: put.sha256, got: hash.digest('hex'), bytes: put.bytes, grownMebibytes }));
