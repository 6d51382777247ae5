import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { temporaryFolder } from '@slipway/testing';
import { expect, test } from 'vitest';
import {
  attemptPrefix,
  download,
  folderStore,
  ObjectDamaged,
  ObjectMissing,
  ObjectRefused,
  ObjectStoreDown,
  upload,
  type ObjectStore,
} from './index.ts';

interface Setup {
  store: ObjectStore;
  objects: string;
  output: string;
  input: string;
}

async function setup(files: Record<string, string> = {}): Promise<Setup> {
  const folder = await temporaryFolder();
  const [objects, output, input] = ['objects', 'output', 'input'].map((name) => path.join(folder, name)) as [
    string,
    string,
    string,
  ];
  await mkdir(output);
  for (const [name, content] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(output, name)), { recursive: true });
    await writeFile(path.join(output, name), content);
  }
  return { store: folderStore(objects), objects, output, input };
}

const files = { 'b.txt': 'b', 'a/deep/er/ü 1.txt': 'ü', 'a/empty': '', '.hidden': 'h' };
const prefix = attemptPrefix(17, 2, 5);

test('the output of one attempt is the input of another, byte for byte', async () => {
  const { store, output, input } = await setup(files);
  await mkdir(path.join(output, 'empty folder'));
  const manifest = await upload(store, output, prefix);
  const names = Object.keys(files).toSorted();
  expect(manifest.files.map(({ name }) => name)).toEqual(names);
  for (const { name, key, bytes, sha256 } of manifest.files) {
    const content = files[name as keyof typeof files];
    expect(key).toBe(`output/17/2-5/${name}`);
    expect(bytes).toBe(Buffer.byteLength(content));
    expect(sha256).toBe(createHash('sha256').update(content).digest('hex'));
  }
  await download(store, manifest.files, input);
  for (const [name, content] of Object.entries(files))
    expect(await readFile(path.join(input, name), 'utf8')).toBe(content);
});

test('hundreds of files go both ways', async () => {
  const many = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`${index % 10}/${index}`, `${index}`]));
  const { store, output, input } = await setup(many);
  await download(store, (await upload(store, output, prefix)).files, input);
  expect((await readdir(input, { recursive: true })).length).toBe(310);
});

test.for(['file', 'folder', 'dangling', 'fifo'])(
  'output with a %s that is no file of its own is refused, and nothing is uploaded',
  async (kind) => {
    const { store, output } = await setup(files);
    const odd = path.join(output, 'a/deep/odd');
    if (kind === 'fifo') execFileSync('mkfifo', [odd]);
    else await symlink({ file: '/etc/passwd', folder: '/etc', dangling: 'nothing' }[kind] ?? '', odd);
    await expect(upload(store, output, prefix)).rejects.toThrow(ObjectRefused);
    await expect(upload(store, output, prefix)).rejects.toThrow(
      /"a\/deep\/odd", which is (a symlink|neither a file nor a folder)/,
    );
    expect(await Array.fromAsync(store.list(''))).toEqual([]);
  },
);

test('output whose name no store could keep is refused, and nothing is uploaded', async () => {
  const { store, output } = await setup({ ...files, 'line\nbreak': 'x' });
  await expect(upload(store, output, prefix)).rejects.toThrow(/"line\\nbreak" can't be the key/);
  expect(await Array.fromAsync(store.list(''))).toEqual([]);
});

test.for(['../outside', '/etc/outside', 'a/../../outside', ''])(
  'an input file with the name %j is refused',
  async (name) => {
    const { store, input } = await setup();
    await store.put('in/a', Buffer.from('x'));
    await expect(download(store, [{ name, key: 'in/a' }], input)).rejects.toThrow(ObjectRefused);
  },
);

test('an input file never replaces another one', async () => {
  const { store, input } = await setup();
  await store.put('in/a', Buffer.from('x'));
  const twice = [1, 2].map(() => ({ name: 'a', key: 'in/a' }));
  await expect(download(store, twice, input)).rejects.toThrow(/EEXIST/);
});

test('input that is missing or damaged is told apart from a store that is away', async () => {
  const { store, objects, output, input } = await setup(files);
  const manifest = await upload(store, output, prefix);
  const file = manifest.files.find(({ name }) => name === 'b.txt') ?? expect.unreachable('it is missing');
  await expect(download(store, [{ name: 'x', key: 'in/none' }], input)).rejects.toThrow(ObjectMissing);
  await writeFile(path.join(objects, file.key), 'X'.repeat(file.bytes));
  await expect(download(store, [{ ...file, name: '1' }], input)).rejects.toThrow(ObjectDamaged);
  await writeFile(path.join(objects, file.key), 'much too long');
  await expect(download(store, [{ ...file, name: '2' }], input)).rejects.toThrow(/has more/);
  await download(store, [{ name: '3', key: file.key }], input); // nothing was promised about it
  await rename(objects, `${objects}.away`);
  await expect(download(store, [{ ...file, name: '4' }], input)).rejects.toThrow(ObjectStoreDown);
  await expect(upload(store, output, prefix)).rejects.toThrow(ObjectStoreDown);
});
