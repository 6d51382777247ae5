import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SlipwayError } from '@slipway/app/errors';
import { git } from './git.ts';

/** The branch that becomes a pull request, and so a preview. */
export const changeBranch = 'new-headline';

/** Where the app and its change are, seen from the program file; the published package is laid out like the repository. */
const appFolder = '../../../examples/shop';
const changeFile = '../../../examples/new-headline.patch';

/**
 * Makes the example app a git repository with two branches: `main`, and `new-headline` with one change. It appears whole:
 * being killed half-way leaves nothing that looks like one. Fine when it is there already.
 */
export async function makeRepository(folder: string, entry: string): Promise<void> {
  if (existsSync(folder)) return;
  const source = join(dirname(entry), appFolder);
  if (!existsSync(source)) {
    throw new SlipwayError('mistake', `this installation has no example app (${source})`, {
      hint: 'Start without --example, and push an app of your own.',
    });
  }
  mkdirSync(dirname(folder), { recursive: true });
  const draft = mkdtempSync(join(dirname(folder), '.new-'));
  try {
    cpSync(source, draft, { recursive: true, filter: (from) => !from.endsWith('/node_modules') });
    await git(draft, ['init', '--quiet', '--initial-branch=main']);
    await commit(draft, 'Open the shop');
    await git(draft, ['switch', '--quiet', '--create', changeBranch]);
    await git(draft, ['apply', join(dirname(entry), changeFile)]);
    await commit(draft, 'Say it in a new headline');
    await git(draft, ['switch', '--quiet', 'main']);
    renameSync(draft, folder);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

async function commit(folder: string, subject: string): Promise<void> {
  await git(folder, ['add', '--all']);
  await git(folder, ['commit', '--quiet', '--message', subject]);
}

/**
 * Makes `git push` in this repository go to the control plane at `url`, now and when a person does it: the token comes from
 * `slipway credential` each time, and stands in no file of the repository.
 */
export async function pointAt(folder: string, url: string, helper: string[]): Promise<void> {
  const set = (key: string, value: string) => git(folder, ['config', '--replace-all', key, value]);
  await set('remote.slipway.url', `${url}/git/shop.git`);
  await set('remote.slipway.fetch', '+refs/heads/*:refs/remotes/slipway/*');
  // An empty one first: the token is for nobody else to keep.
  await set('credential.helper', '');
  await git(folder, ['config', '--add', 'credential.helper', `!${helper.map(quoted).join(' ')}`]);
}

/** For sh: nothing is special between single quotes. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
