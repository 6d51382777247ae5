import { mkdir, readFile, readdir, readlink, rm, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SlipwayError } from '@slipway/app';
import { decodeName } from './branch-name.ts';
import type { Checkout } from './forge.ts';
import { type Git, gitError } from './git.ts';

/**
 * Writes the files of one commit into an empty or missing folder. One `git read-tree -u` over an index that is thrown away
 * (measured: 25 ms for 500 files, a fifth of read-tree + checkout-index; more checkout workers only cost). The list of
 * what is special in the tree is read meanwhile.
 *
 * @param index Path of that index; the caller removes its folder.
 */
export async function checkoutInto(
  git: Git,
  repository: string,
  sha: string,
  folder: string,
  index: string,
): Promise<Checkout> {
  const made = await prepare(folder);
  try {
    const [, special] = await Promise.all([
      writeFiles(git, repository, sha, folder, index),
      listSpecial(git, repository, sha),
    ]);
    const inert = await makeLinksSafe(folder, special.links);
    return { notices: [...inert, ...submoduleNotice(special.submodules), ...(await lfsNotice(folder, special))] };
  } catch (error) {
    await removeWritten(folder, made);
    throw error;
  }
}

/** Says whether the folder was there before. */
async function prepare(folder: string): Promise<'made' | 'found'> {
  const entries = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (entries === null) {
    await mkdir(folder, { recursive: true });
    return 'made';
  }
  if (entries.length === 0) return 'found';
  throw new SlipwayError('mistake', `A commit can't be written into ${folder}: the folder is not empty.`, {
    hint: 'Name a folder that is empty, or that does not exist yet.',
  });
}

async function removeWritten(folder: string, made: 'made' | 'found'): Promise<void> {
  if (made === 'made') return rm(folder, { recursive: true, force: true });
  for (const entry of await readdir(folder)) await rm(join(folder, entry), { recursive: true, force: true });
}

async function writeFiles(git: Git, repository: string, sha: string, folder: string, index: string): Promise<void> {
  const args = ['-c', 'core.bare=false', `--git-dir=${repository}`, `--work-tree=${folder}`];
  const command = [...args, 'read-tree', '--reset', '-u', sha];
  const result = await git.run(command, { variables: { GIT_INDEX_FILE: index }, timeoutMs: 300_000 });
  // It goes on after a file that it could not write, and then says so only in words.
  if (result.code !== 0 || /^(error|fatal): /m.test(result.stderr)) {
    throw gitError(command.slice(args.length), result.code === 0 ? { ...result, code: 1 } : result);
  }
}

interface Special {
  links: Buffer[];
  submodules: string[];
  attributes: Buffer[];
}

async function listSpecial(git: Git, repository: string, sha: string): Promise<Special> {
  const output = await git.must([`--git-dir=${repository}`, 'ls-tree', '-r', '-z', sha], {
    maxBytes: 256 * 1024 * 1024,
  });
  const special: Special = { links: [], submodules: [], attributes: [] };
  for (let at = 0, next; at < output.length; at = next + 1) {
    next = output.indexOf(0, at);
    const path = output.subarray(output.indexOf(9, at) + 1, next);
    const mode = output.toString('latin1', at, at + 6);
    if (mode === '120000') special.links.push(path);
    else if (mode === '160000') special.submodules.push(decodeName(path));
    else if (path.toString('latin1').endsWith('.gitattributes')) special.attributes.push(path);
  }
  return special;
}

/**
 * A link is left alone when it can't lead out of the folder: relative, `..` only in front, and not above the root. The
 * folders above a link are real ones (git refuses to write through links), so those `..` are exact, and what follows
 * passes only through links that have been looked at too. `..` further on could step out of the target of another link.
 */
async function makeLinksSafe(folder: string, links: Buffer[]): Promise<string[]> {
  const inert: string[] = [];
  for (const link of links) {
    const file = Buffer.concat([Buffer.from(`${folder}/`), link]);
    const target = await readlink(file, { encoding: 'buffer' }).catch(() => null);
    if (target === null || staysInside(link.toString('latin1'), target.toString('latin1'))) continue;
    await unlink(file);
    await writeFile(file, target);
    inert.push(decodeName(link));
  }
  if (inert.length === 0) return [];
  return [
    `${some(inert, 'symbolic link')} ${inert.length === 1 ? 'leads' : 'lead'} out of the repository and ${inert.length === 1 ? 'was' : 'were'} written as plain files. Put what they point to into the repository.`,
  ];
}

export function staysInside(link: string, target: string): boolean {
  if (target.startsWith('/')) return false;
  const steps = target.split('/').filter((step) => step !== '' && step !== '.');
  const ups = steps.findIndex((step) => step !== '..');
  const leading = ups === -1 ? steps.length : ups;
  const depth = link.split('/').length - 1;
  return leading <= depth && !steps.slice(leading).includes('..');
}

function submoduleNotice(submodules: string[]): string[] {
  if (submodules.length === 0) return [];
  return [
    `${some(submodules, 'submodule')} ${submodules.length === 1 ? 'is an empty folder' : 'are empty folders'}: Slipway does not fetch submodules. Add their files to the repository, or install them in "build".`,
  ];
}

/** Files kept by Git LFS are declared in `.gitattributes`; what is in the repository are pointers of three lines. */
async function lfsNotice(folder: string, special: Special): Promise<string[]> {
  for (const path of special.attributes) {
    const text = await readFile(Buffer.concat([Buffer.from(`${folder}/`), path]), 'latin1').catch(() => '');
    if (!/^[^#\n].*\bfilter=lfs\b/m.test(text)) continue;
    return [
      `Files that ${decodeName(path)} gives to Git LFS are pointers, not their content: Slipway does not fetch from LFS. Commit the files themselves, or fetch them in "build".`,
    ];
  }
  return [];
}

function some(names: string[], what: string): string {
  const shown = names.slice(0, 3).join(', ');
  const more = names.length > 3 ? ` and ${names.length - 3} more` : '';
  return `${names.length === 1 ? `The ${what}` : `The ${what}s`} ${shown}${more}`;
}
