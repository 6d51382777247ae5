import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '@slipway/testing';
import { slipway } from '../test/slipway.ts';

test('init writes a slipway.yaml that says what to do next, and replaces one only when asked to', async () => {
  const folder = await temporaryFolder();
  const file = join(folder, 'slipway.yaml');
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'boat', scripts: { start: 'node server.js' } }));
  const first = await slipway(['init'], { cwd: folder, home: folder });
  expect(first).toMatchObject({ code: 0, stderr: '' });
  expect(first.stdout).toContain(`Wrote ${file}`);
  expect(first.stdout).toMatch(
    /git init -b main .*git remote add slipway http:\/\/127\.0\.0\.1:7300\/git\/boat\.git\n.*git push slipway main\n$/s,
  );
  expect(await readFile(file, 'utf8')).toMatch(/^app: boat$/m);

  await writeFile(file, 'mine');
  expect(await slipway(['init', folder])).toEqual({
    code: 1,
    stdout: '',
    stderr: `slipway: ${file} exists already. It was left as it is. Replace it: slipway init --force\n`,
  });
  expect(await readFile(file, 'utf8')).toBe('mine');
  expect((await slipway(['init', folder, '--force', '--json'])).code).toBe(0);
  expect(await readFile(file, 'utf8')).toMatch(/^app: boat$/m);
});
