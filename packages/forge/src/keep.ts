import type { Git } from './git.ts';

/**
 * Releases refer to commits for ever, branches don't: each pushed head is also held by `refs/slipway/keep/SHA`, which
 * clients neither see nor can change. Force-pushing or deleting a branch so never loses a commit that was released.
 */
const prefix = 'refs/slipway/keep/';

export async function keep(git: Git, repository: string, shas: string[]): Promise<void> {
  const lines = [...new Set(shas)].map((sha) => `update ${prefix}${sha} ${sha}\n`);
  if (lines.length === 0) return;
  await git.must([`--git-dir=${repository}`, 'update-ref', '--stdin'], { input: lines.join('') });
}

/** Lets go of the kept heads that a branch or another kept head contains: they stay reachable without. */
export async function thinOut(git: Git, repository: string): Promise<void> {
  const at = `--git-dir=${repository}`;
  const list = await git.must([at, 'for-each-ref', '--format=%(objectname) %(refname)', 'refs/heads', prefix]);
  const refs = list.toString('latin1').split('\n').filter(Boolean);
  const heads = [...new Set(refs.map((ref) => ref.slice(0, ref.indexOf(' '))))];
  const kept = refs.filter((ref) => ref.includes(` ${prefix}`)).map((ref) => ref.slice(0, ref.indexOf(' ')));
  if (kept.length === 0) return;
  const parents = heads.map((sha) => `${sha}^@\n`).join('');
  const contained = await git.must([at, 'rev-list', '--stdin'], { input: parents, maxBytes: 512 * 1024 * 1024 });
  const commits = new Set(contained.toString('latin1').split('\n'));
  const lines = kept.filter((sha) => commits.has(sha)).map((sha) => `delete ${prefix}${sha} ${sha}\n`);
  if (lines.length > 0) await git.must([at, 'update-ref', '--stdin'], { input: lines.join('') });
}
