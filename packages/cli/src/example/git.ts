import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { SlipwayError } from '@slipway/app/errors';

/** The example's commits look the same everywhere, whatever this machine's git is configured to do. */
const environment = {
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_TERMINAL_PROMPT: '0',
  GIT_AUTHOR_NAME: 'Slipway example',
  GIT_AUTHOR_EMAIL: 'example@slipway.invalid',
  GIT_COMMITTER_NAME: 'Slipway example',
  GIT_COMMITTER_EMAIL: 'example@slipway.invalid',
};

/**
 * Runs git in a folder.
 *
 * @param output `show`: what it writes goes to this process's stderr as it comes, with the server's `remote:` lines.
 * @returns what it wrote on stdout.
 * @throws {SlipwayError} `transient` with its last words when it fails; `mistake` when there is no git.
 */
export async function git(folder: string, args: string[], output: 'keep' | 'show' = 'keep'): Promise<string> {
  const child = spawn('git', args, {
    cwd: folder,
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', output === 'show' ? 'inherit' : 'pipe'],
  });
  const said = Promise.all([child.stdout, child.stderr].map(async (stream) => (stream === null ? '' : text(stream))));
  try {
    await once(child, 'close');
  } catch (error) {
    throw new SlipwayError('mistake', 'git could not be run', {
      hint: 'Install git, then run this again.',
      cause: error,
    });
  }
  const [stdout = '', stderr = ''] = await said;
  if (child.exitCode === 0) return stdout;
  throw new SlipwayError(
    'transient',
    `git ${args[0]} failed in ${folder}${stderr === '' ? '' : `: ${stderr.trim()}`}`,
    {
      hint: 'See what it says, then run this again; what was done is not done twice.',
    },
  );
}
