import { decodeName } from './branch-name.ts';
import type { Git } from './git.ts';

export interface DiffSummary {
  files: number;
  insertions: number;
  deletions: number;
  /** Commits reachable from `to` and not from `from`, newest first, at most 50. */
  commits: Array<{ sha: string; subject: string }>;
}

/** What changed between two commits; both must be there. */
export async function summarize(git: Git, repository: string, from: string, to: string): Promise<DiffSummary> {
  const at = `--git-dir=${repository}`;
  const [stat, log] = await Promise.all([
    git.must([at, 'diff', '--shortstat', '--no-ext-diff', '--no-textconv', from, to, '--']),
    git.must([at, 'log', '-z', '--max-count=50', '--format=%H %s', `${from}..${to}`, '--']),
  ]);
  const count = (word: string): number => Number(new RegExp(`(\\d+) ${word}`).exec(stat.toString())?.[1] ?? 0);
  const commits = decodeName(log)
    .split('\0')
    .filter(Boolean)
    .map((line) => ({ sha: line.slice(0, line.indexOf(' ')), subject: line.slice(line.indexOf(' ') + 1) }));
  return { files: count('files? changed'), insertions: count('insertion'), deletions: count('deletion'), commits };
}
