import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The default branch of the repository at `folder`, and whether that is a guess. */
export async function defaultBranch(folder: string): Promise<{ branch: string; sure: boolean }> {
  const remote = await git(folder, ['symbolic-ref', '--short', 'refs/remotes/origin/HEAD']);
  if (remote.startsWith('origin/')) return { branch: remote.slice('origin/'.length), sure: true };
  const branches = (await git(folder, ['for-each-ref', '--format=%(refname:short)', 'refs/heads'])).split('\n');
  const usual = ['main', 'master', 'trunk'].find((name) => branches.includes(name));
  if (usual !== undefined) return { branch: usual, sure: true };
  const current = await git(folder, ['symbolic-ref', '--short', 'HEAD']);
  return current === '' ? { branch: 'main', sure: false } : { branch: current, sure: branches.length <= 1 };
}

/** Empty when git is not there, the folder is no repository, or there is no answer. */
async function git(folder: string, args: string[]): Promise<string> {
  try {
    const { stdout } = await run('git', ['-C', folder, ...args], {
      timeout: 5000,
      env: { ...process.env, GIT_TERMINAL_PROMPT: '0' },
    });
    return stdout.trim();
  } catch {
    return '';
  }
}
