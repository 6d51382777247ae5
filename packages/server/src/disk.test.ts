import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { cannotRun, temporaryFolder, waitFor } from '@slipway/testing';
import { sampleApp, SlipwayUnderTest } from './slipway-under-test.ts';

const execute = promisify(execFile);

test('a full disk: the push is told, nothing is lost, and it goes on when there is room again', async (context) => {
  const home = await temporaryFolder();
  const data = path.join(home, 'data');
  await mkdir(data);
  try {
    await execute('mount', ['-t', 'tmpfs', '-o', 'size=13m,mode=755', 'tmpfs', data]);
  } catch {
    cannotRun('the control plane on a full disk', 'mounting a small file system needs root');
    context.skip();
  }
  onTestFinished(async () => void (await execute('umount', ['-l', data])));

  const slipway = await SlipwayUnderTest.start({ home });
  const repository = await slipway.repository('shop', sampleApp('shop'));
  await repository.push();
  // 6 MB as a pack, 8 MB as a checkout: the first fits, the second does not fit beside it.
  const sha = await repository.commit({ 'large.bin': randomBytes(6_000_000).toString('base64') }, 'Large');
  let output = '';
  const push = repository.push().then((text) => (output = text));
  await slipway.until('shop', 'staging', 'waits for room', ({ reason }) =>
    /waits, because .*(disk|space)/i.test(reason ?? ''),
  );
  expect((await slipway.request('staging.shop.localhost')).status).toBe(200);

  await execute('mount', ['-o', 'remount,size=200m', data]);
  await slipway.ready('shop', 'staging', sha);
  await push;
  expect(output).toMatch(/waits: .*tried again until it works/);
  await waitFor(async () => (await slipway.request('staging.shop.localhost')).body.includes('"release":"2"'), {
    what: 'the new release to answer',
  });
});
