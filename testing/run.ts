import { spawnSync } from 'node:child_process';
import { runVitest } from './src/vitest-run.ts';

/** What `npm test` runs. Arguments go to vitest, and the exit code is vitest's. */
process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  if (spawnSync('git', ['--version']).status !== 0) {
    console.error(
      'git is not on PATH, and most tests need it. Install it (apt-get install git), then run npm test again.',
    );
    return 1;
  }
  return runVitest(args);
}
