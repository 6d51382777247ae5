import { type ChildProcess, execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { EmbeddedPostgres } from '@slipway/postgres';
import { connectPool, Queue } from '@slipway/queue';
import { kind, SLOTS } from './faults/worker.ts';
import { type Measured, progress, round3 } from './measure.ts';
import { postgresSettings } from './queue/servers.ts';

/**
 * A worker process is killed (SIGKILL) every five seconds and replaced, with more tasks waiting than all can do: how many are done in a second by a slot
 * that lives, beside the same while nothing is killed, measured before and after. What it shows is what a kill costs those that survive: tasks
 * that are done again, and the work of taking them back.
 *
 * The tasks only wait (50 ms), so that the capacity is that of the slots and not that of the machine.
 */
const WORKERS = 3;
const KILL_EVERY_SECONDS = 5;
const KILLS = 12;
const QUIET_SECONDS = 20;
/** More than are done until the end. */
const TASKS = 100_000;

interface Worker {
  process: ChildProcess;
  /** Seconds, on the clock of {@link now}. */
  readyAt: number;
  killedAt: number;
}

interface Window {
  /** Tasks done. */
  done: number;
  /** Seconds in which a slot was there, over all slots. */
  slotSeconds: number;
}

export default async function faults(): Promise<Measured> {
  const releasers: (() => Promise<unknown>)[] = [];
  try {
    const url = await startPostgres(releasers);
    const pool = connectPool(url);
    releasers.push(() => pool.end());
    const queue = new Queue({ pool });
    await queue.migrate();
    progress(`adding ${TASKS} tasks`);
    await queue.enqueueMany(
      kind,
      Array.from({ length: TASKS }, (_, n) => ({ payload: { n } })),
    );
    return await measure(queue, url, releasers);
  } finally {
    for (const release of releasers.toReversed()) await release();
  }
}

async function measure(queue: Queue, url: string, releasers: (() => Promise<unknown>)[]): Promise<Measured> {
  const all: Worker[] = [];
  const add = async (): Promise<void> => void all.push(await startWorker(url, releasers));
  for (let n = 0; n < WORKERS; n += 1) await add();
  const during = async (work: () => Promise<void>): Promise<Window> => {
    const [began, before] = [now(), await left(queue)];
    await work();
    const [ended, after] = [now(), await left(queue)];
    if (after === 0) throw new Error('there were too few tasks: the queue is empty');
    const alive = all.map(({ readyAt, killedAt }) => Math.min(ended, killedAt) - Math.max(began, readyAt));
    return { done: before - after, slotSeconds: SLOTS * alive.reduce((sum, one) => sum + Math.max(0, one), 0) };
  };
  const quiet = async (): Promise<Window> => await during(() => pause(QUIET_SECONDS));

  const first = await quiet();
  const killed = await during(async () => {
    for (let kill = 1; kill <= KILLS; kill += 1) {
      await pause(KILL_EVERY_SECONDS);
      const oldest = all.find(({ killedAt }) => killedAt === Infinity);
      oldest?.process.kill('SIGKILL');
      if (oldest) oldest.killedAt = now();
      await add();
      progress(`kill ${kill} of ${KILLS}`);
    }
    await pause(KILL_EVERY_SECONDS);
  });
  const second = await quiet();
  const undisturbed = perSlot({
    done: first.done + second.done,
    slotSeconds: first.slotSeconds + second.slotSeconds,
  });
  const dead = await queue.dead({ limit: 1 });
  if (dead.length > 0) throw new Error(`tasks died: ${JSON.stringify(dead)}`);
  return {
    figures: { capacity_under_kills: round3(perSlot(killed) / undisturbed) },
    peers: {
      kills: KILLS,
      per_slot_and_s_under_kills: round3(perSlot(killed)),
      per_slot_and_s_before: round3(perSlot(first)),
      per_slot_and_s_after: round3(perSlot(second)),
    },
  };
}

async function startPostgres(releasers: (() => Promise<unknown>)[]): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'slipway-bench-'));
  releasers.push(() => rm(folder, { recursive: true, force: true }));
  await promisify(execFile)('chmod', ['755', folder]); // PostgreSQL runs as another user
  const postgres = new EmbeddedPostgres({ folder: path.join(folder, 'postgres'), settings: postgresSettings });
  releasers.push(() => postgres.stop());
  await postgres.start();
  return postgres.url;
}

/** @returns when it takes tasks. */
async function startWorker(url: string, releasers: (() => Promise<unknown>)[]): Promise<Worker> {
  const process = fork(path.join(import.meta.dirname, 'faults', 'worker.ts'), [url], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  releasers.push(async () => {
    if (process.exitCode !== null || process.signalCode !== null) return;
    const exited = once(process, 'exit');
    process.kill('SIGKILL');
    await exited;
  });
  await once(process, 'message');
  return { process, readyAt: now(), killedAt: Infinity };
}

/** Tasks that are neither done nor dead. */
async function left(queue: Queue): Promise<number> {
  const { scheduled = 0, blocked = 0, ready = 0, running = 0 } = (await queue.counts())[kind.name] ?? {};
  return scheduled + blocked + ready + running;
}

function perSlot({ done, slotSeconds }: Window): number {
  return done / slotSeconds;
}

function now(): number {
  return performance.now() / 1_000;
}

function pause(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
}
