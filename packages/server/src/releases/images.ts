import { setTimeout as delay } from 'node:timers/promises';
import { SlipwayError, type App } from '@slipway/app';
import { dockerLogin, imagesOf, isPinned, resolveDigest } from '@slipway/kubernetes';
import type { Context } from '../context.ts';
import type { RolloutRow } from '../database/records.ts';
import { row } from '../database/sql.ts';
import { moveTo } from '../rollouts/transitions.ts';

/** How long an image is waited for, in milliseconds: whoever builds it heard of the commit when we did. */
const patience = 15 * 60_000;
/** A registry tells nobody when an image arrives, so it is asked. */
const pause = 5_000;

/**
 * What runs for each image that a release names by a name alone: the tag of its commit, by its digest. A commit has the same images in every
 * environment: what was found once is not looked for again, so production runs what staging tried.
 *
 * @param signal aborting it stops the waiting.
 * @throws {SlipwayError} `not-found` when an image did not come in time; `denied`, `transient` from the registry.
 */
export async function pinImages(
  context: Context,
  rollout: RolloutRow,
  commit: { definition: App; sha: string },
  signal: AbortSignal,
): Promise<Record<string, string>> {
  return await pin(
    context,
    rollout.appId,
    commit,
    async (image) => await waitForDigest(context, rollout, image, signal),
  );
}

/** The same for images that are there now. @throws {SlipwayError} `not-found` for the first that is not. */
export async function pinnedNow(
  context: Pick<Context, 'pool'>,
  appId: string,
  commit: { definition: App; sha: string },
): Promise<Record<string, string>> {
  return await pin(context, appId, commit, async (image) => await digestOf(image, commit.sha));
}

async function pin(
  { pool }: Pick<Context, 'pool'>,
  appId: string,
  { definition, sha }: { definition: App; sha: string },
  find: (image: string) => Promise<string>,
): Promise<Record<string, string>> {
  const before = await row<{ images: Record<string, string> }>(
    pool,
    `select images from release where app_id = $1 and sha = $2 and images is not null order by number desc limit 1`,
    [appId, sha],
  );
  const pinned: Record<string, string> = {};
  for (const image of imagesOf(definition, 'with jobs by hand')) {
    if (isPinned(image)) continue;
    pinned[image] = before?.images[image] ?? `${image}@${await find(image)}`;
  }
  return pinned;
}

async function digestOf(image: string, sha: string): Promise<string> {
  return await resolveDigest(image, sha, { credentials: dockerLogin });
}

async function waitForDigest(
  context: Context,
  rollout: RolloutRow,
  image: string,
  signal: AbortSignal,
): Promise<string> {
  const began = performance.now();
  for (let tries = 0; ; tries += 1) {
    try {
      return await digestOf(image, rollout.sha);
    } catch (error) {
      const isMissing = error instanceof SlipwayError && error.kind === 'not-found';
      if (!isMissing || performance.now() - began > patience) throw error;
      if (tries === 0) await moveTo(context, rollout, 'release', `waits for the image ${image}:${rollout.sha}`);
    }
    await delay(pause, undefined, { signal });
  }
}
