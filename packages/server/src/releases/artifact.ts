import { createHash } from 'node:crypto';
import { chmod, lstat, mkdir, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { App } from '@slipway/app';
import type { Context } from '../context.ts';
import { theRow, transaction } from '../database/sql.ts';
import { appendEvent } from '../events/append.ts';

/** The build commands of an app, in the order of its file, each once: they all run in the one checkout. */
export function buildCommands(definition: App): string[] {
  const commands = [...Object.values(definition.services), ...Object.values(definition.workers)].map(
    ({ build }) => build,
  );
  return [...new Set(commands.filter((command) => command !== null))];
}

/** Content address of an artifact: the same tree built by the same commands is the same artifact, whatever commit it came with. */
export function artifactId(tree: string, builds: readonly string[]): string {
  return createHash('sha256')
    .update([tree, ...builds].join('\0'))
    .digest('hex')
    .slice(0, 32);
}

type ArtifactState = 'building' | 'ready' | 'failed' | 'deleted';
export type ArtifactResult = { ok: true; id: string; folder: string } | { ok: false; reason: string };

const buildTimeoutSeconds = 30 * 60;

/**
 * Makes the artifact of a commit: its files, built, then sealed against change. Safe to call again after a kill at any point: the
 * checkout appears in one rename, and each build command is a job with a fixed id that the engine runs once.
 *
 * @param signal aborting it stops waiting for a build; the build goes on and is attached to by the next call.
 */
export async function makeArtifact(
  context: Context,
  commit: { appId: string; app: string; sha: string; tree: string; definition: App },
  signal: AbortSignal,
): Promise<ArtifactResult> {
  const { pool, forge } = context;
  const builds = buildCommands(commit.definition);
  const id = artifactId(commit.tree, builds);
  const folder = path.join(context.artifacts, commit.app, id);
  const { state, attempt, present } = await beginArtifact(context, commit.appId, id, folder);
  if (state === 'ready') return { ok: true, id, folder };
  if (!present) {
    const fresh = `${folder}.${process.pid}.${Date.now()}`;
    await mkdir(path.dirname(folder), { recursive: true });
    await forge.checkout(commit.app, commit.sha, fresh);
    await rename(fresh, folder);
  }
  for (const [index, command] of builds.entries()) {
    const job = `build-${commit.app}-${id}-${attempt}-${index}`;
    const reason = await runBuild(context, commit, { job, command, folder }, signal);
    if (reason === null) continue;
    await pool.query(`update artifact set state = 'failed', reason = $3 where app_id = $1 and id = $2`, [
      commit.appId,
      id,
      reason,
    ]);
    await removeSealed(folder);
    return { ok: false, reason };
  }
  // A build runs as root never: what it wrote is sealed by the engine. Without a build, or when everything is one user, it is sealed here.
  if (process.getuid?.() !== 0 || builds.length === 0) await seal(folder);
  await pool.query(`update artifact set state = 'ready', reason = null where app_id = $1 and id = $2`, [
    commit.appId,
    id,
  ]);
  return { ok: true, id, folder };
}

/**
 * The row of an artifact, made or found. It is locked while the folder is looked for, so that a collection does not take that away in between.
 * A build that begins again from a new checkout is another attempt: the engine does not answer it with the result of the old one.
 */
async function beginArtifact(
  { pool }: Context,
  appId: string,
  id: string,
  folder: string,
): Promise<{ state: ArtifactState; attempt: number; present: boolean }> {
  return await transaction(pool, async (client) => {
    await client.query(
      `insert into artifact (app_id, id, folder, state, attempt) values ($1, $2, $3, 'building', 0) on conflict do nothing`,
      [appId, id, folder],
    );
    const found = await theRow<{ state: ArtifactState; attempt: number }>(
      client,
      `select state, attempt from artifact where app_id = $1 and id = $2 for no key update`,
      [appId, id],
    );
    if (await exists(folder)) return { ...found, present: true };
    const begun = await theRow<{ state: ArtifactState; attempt: number }>(
      client,
      `update artifact set state = 'building', attempt = attempt + 1, created_at = now()
       where app_id = $1 and id = $2 returning state, attempt`,
      [appId, id],
    );
    return { ...begun, present: false };
  });
}

/** Runs one build command in the checkout. @returns null, or the reason why it failed. */
async function runBuild(
  context: Context,
  commit: { appId: string; app: string; sha: string },
  build: { job: string; command: string; folder: string },
  signal: AbortSignal,
): Promise<string | null> {
  const { command } = build;
  const event = { appId: commit.appId, sha: commit.sha, data: { command } };
  await appendEvent(context.pool, { kind: 'build.started', ...event, message: `Build "${command}" runs.` });
  const result = await context.engines.machine.engine.run(
    {
      id: build.job,
      environment: null,
      run: command,
      folder: build.folder,
      access: 'read-write',
      variables: { CI: 'true', SLIPWAY_APP: commit.app, SLIPWAY_COMMIT: commit.sha },
      timeoutSeconds: buildTimeoutSeconds,
      memory: null,
    },
    { signal },
  );
  const seconds = ((result.finishedAt - result.startedAt) / 1000).toFixed(1);
  if (result.outcome === 'succeeded') {
    await appendEvent(context.pool, {
      kind: 'build.passed',
      ...event,
      message: `Build "${command}" passed in ${seconds} s.`,
      data: { command, seconds: Number(seconds) },
    });
    return null;
  }
  await appendEvent(context.pool, {
    kind: 'build.failed',
    ...event,
    message: `Build "${command}" failed after ${seconds} s. ${result.failure?.message ?? ''}`,
    data: { command, lastLines: result.lastLines.slice(-20) },
  });
  return `build "${command}" failed after ${seconds} s: ${result.failure?.message ?? 'no reason given'}`;
}

async function exists(folder: string): Promise<boolean> {
  return await lstat(folder).then(
    () => true,
    () => false,
  );
}

/** Takes the write permission from every file and folder. */
async function seal(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true });
  for (const entry of entries) {
    const entryPath = path.join(folder, entry.name);
    if (entry.isSymbolicLink()) continue;
    if (entry.isDirectory()) await seal(entryPath);
    else await withoutWrite(entryPath);
  }
  await withoutWrite(folder);
}

async function withoutWrite(entryPath: string): Promise<void> {
  const { mode } = await lstat(entryPath);
  if ((mode & 0o222) !== 0) await chmod(entryPath, mode & 0o7555);
}

/** Deletes a sealed folder: its folders need their write permission back first when we are not root. */
export async function removeSealed(folder: string): Promise<void> {
  if (process.getuid?.() !== 0 && (await exists(folder))) await unsealFolders(folder);
  await rm(folder, { recursive: true, force: true });
}

async function unsealFolders(folder: string): Promise<void> {
  await chmod(folder, 0o755);
  const entries = await readdir(folder, { withFileTypes: true });
  for (const entry of entries) if (entry.isDirectory()) await unsealFolders(path.join(folder, entry.name));
}
