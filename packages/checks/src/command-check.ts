import type { Check } from '@slipway/app';
import type { Engine } from '@slipway/engine';

export interface CommandCheck {
  /** Identifies this run of the check for ever; the engine runs it once. */
  id: string;
  app: string;
  sha: string;
  check: Check;
  /** The sealed checkout. */
  folder: string;
}

export interface CheckOutcome {
  state: 'passed' | 'failed';
  /** One sentence for people; null when it passed. */
  reason: string | null;
  /** The end of its output, oldest line first. */
  output: string[];
  seconds: number;
}

/**
 * Runs a command check (`checks: test: {run: ...}`) over a read-only checkout. What it wants to write belongs into `$TMPDIR`.
 * Safe to call again with the same id: a run that goes on is waited for, one that has ended answers with its result.
 *
 * @param signal aborting it stops waiting; the command goes on and can be waited for again.
 * @throws {SlipwayError} `transient` when the engine can't be reached.
 */
export async function runCommandCheck(engine: Engine, run: CommandCheck, signal: AbortSignal): Promise<CheckOutcome> {
  const result = await engine.run(
    {
      id: run.id,
      environment: null,
      run: run.check.run,
      folder: run.folder,
      access: 'read-only',
      variables: { CI: 'true', SLIPWAY_APP: run.app, SLIPWAY_COMMIT: run.sha },
      timeoutSeconds: run.check.timeout,
      memory: null,
    },
    { signal },
  );
  const seconds = (result.finishedAt - result.startedAt) / 1000;
  if (result.outcome === 'succeeded') return { state: 'passed', reason: null, output: result.lastLines, seconds };
  const message = result.failure?.message ?? 'it failed without a reason';
  const hint = result.lastLines.some((line) => /\b(EROFS|EACCES|read-only file system|permission denied)\b/i.test(line))
    ? ' Checks see the checkout read-only: write to $TMPDIR instead.'
    : '';
  return { state: 'failed', reason: `${message}${hint}`, output: result.lastLines, seconds };
}
