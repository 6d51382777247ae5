import { setTimeout as delay } from 'node:timers/promises';
import { SlipwayError } from '@slipway/app/errors';
import type { ApiEnvironment, ApiEvent, ApiRollout } from './api.ts';
import type { Client } from './client.ts';
import type { Context } from './context.ts';
import { environmentName, releaseText, shortCommit } from './describe.ts';
import { startProgress, type Progress } from './progress.ts';
import { trustedJson } from './trusted-json.ts';

/** Between two tries to hear from a control plane that went away: it is restarted, or upgraded. */
const RECONNECT_MILLISECONDS = 500;
/** A control plane that is away for longer was stopped; nobody knows whether it comes back. */
const GIVE_UP_SECONDS = 120;

/**
 * Shows a rollout until it has ended, or only that it began with `wait` false. Prints the rollout; when it did not
 * succeed the exit code is 1 and the reason is on stderr. Ctrl-C leaves the rollout running, and says so.
 */
export async function showRollout(context: Context, client: Client, rollout: ApiRollout, wait: boolean): Promise<void> {
  const place = `${rollout.app}/${rollout.environment}`;
  if (!wait) {
    context.print(
      rollout,
      `Rollout ${rollout.id} of ${shortCommit(rollout.commit)} to ${place} has begun. Look: slipway why ${rollout.id}`,
    );
    return;
  }
  const leave = () => {
    process.stderr.write(`\nThe rollout goes on without this command. Look: slipway why ${rollout.id}\n`);
    process.exit(130);
  };
  process.once('SIGINT', leave);
  const progress = startProgress(context.json);
  try {
    const ended = isOver(rollout) ? rollout : await followRollout(client, rollout, progress);
    progress.end();
    await printOutcome(context, client, ended);
  } finally {
    progress.end();
    process.off('SIGINT', leave);
  }
}

/**
 * Follows the live stream until the rollout has ended; a control plane that goes away is waited for.
 *
 * @throws {SlipwayError} `transient` when it did not answer for that long.
 */
export async function followRollout(
  client: Client,
  rollout: ApiRollout,
  progress: Progress,
  giveUpSeconds = GIVE_UP_SECONDS,
): Promise<ApiRollout> {
  const query = new URLSearchParams({ app: rollout.app, environment: rollout.environment });
  const path = `/api/rollouts/${encodeURIComponent(rollout.id)}`;
  progress.now(`${rollout.app}/${rollout.environment}: ${rollout.step}`);
  let after: string | null = null;
  let lostAt: number | null = null;
  for (;;) {
    try {
      for await (const message of client.stream(`/api/stream?${query.toString()}`, { after })) {
        after = message.id ?? after;
        lostAt = null;
        if (message.event === 'event') progress.note(`  ${trustedJson<ApiEvent>(message.data).message}`);
        if (message.event !== 'environment' && message.event !== 'removed') continue;
        // The environment may have gone on to another rollout already: then the rollout itself is asked.
        const seen = message.event === 'environment' ? trustedJson<ApiEnvironment>(message.data).rollout : null;
        const current = seen?.id === rollout.id ? seen : await client.get<ApiRollout>(path);
        if (isOver(current)) return current;
        progress.now(`${rollout.app}/${rollout.environment}: ${current.step}`);
      }
    } catch (error) {
      if (!(error instanceof SlipwayError && error.kind === 'transient')) throw error;
      lostAt ??= performance.now();
      if (performance.now() - lostAt > giveUpSeconds * 1000) {
        throw new SlipwayError('transient', `${error.message}, since ${giveUpSeconds} s`, {
          hint: `The rollout goes on when it runs again. Look then: slipway why ${rollout.id}`,
          cause: error,
        });
      }
      progress.now('the control plane does not answer; waiting for it');
    }
    await delay(RECONNECT_MILLISECONDS);
  }
}

async function printOutcome(context: Context, client: Client, rollout: ApiRollout): Promise<void> {
  const place = `${rollout.app}/${rollout.environment}`;
  if (rollout.state === 'succeeded') {
    const environment = await client.get<ApiEnvironment>(
      `/api/apps/${encodeURIComponent(rollout.app)}/environments/${encodeURIComponent(rollout.environment)}`,
    );
    const where = environment.url === null ? '' : `  ${environment.url}`;
    const release = rollout.release === null ? null : { number: rollout.release, commit: rollout.commit };
    context.print(
      rollout,
      `${rollout.app}/${environmentName(environment)}: release ${releaseText(release)} is ready${where}`,
    );
    return;
  }
  process.exitCode = 1;
  context.print(rollout, '');
  if (context.json) return;
  const why = rollout.reason ?? 'no reason was given';
  process.stderr.write(
    `slipway: the rollout of ${shortCommit(rollout.commit)} to ${place} ${outcomeText(rollout.state)}. ${why}\n`,
  );
  process.stderr.write(`Everything that happened: slipway why ${rollout.id}\n`);
}

function outcomeText(state: ApiRollout['state']): string {
  if (state === 'superseded') return 'gave way to a newer one';
  return state === 'cancelled' ? 'was cancelled' : 'failed';
}

function isOver(rollout: ApiRollout): boolean {
  return rollout.state !== 'waiting' && rollout.state !== 'running';
}
