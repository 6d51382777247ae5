import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { describeError } from '../connection-errors.ts';
import type { QueueEvent } from '../events.ts';
import { openStore } from '../objects/index.ts';
import { openQueue } from '../open-queue.ts';
import { ApiRefused } from './api-client.ts';
import type { LaneSlots } from './lane-slots.ts';
import type { FileStore } from './remote-files.ts';
import { RemoteQueue } from './remote-queue.ts';
import { type CommandSource, type CommandWorker, runCommands } from './run-commands.ts';

/**
 * The process that runs `run: python render.py`: `node runner-main.js`, configured by its environment.
 *
 * | variable | is |
 * | --- | --- |
 * | `SLIPWAY_RUNNER`       | JSON: see `settings` |
 * | `SLIPWAY_URL`, `SLIPWAY_TOKEN` | of a tasks API; or, without them: |
 * | `SLIPWAY_INSTANCE`      | what those who run it call it, such as its pod; may be missing |
 * | `DATABASE_URL`, `SLIPWAY_OBJECTS` | PostgreSQL, and the URL of the object store (may be missing) |
 *
 * Commands get none of these: their environment is `env` of the settings, and PATH, HOME, LANG and TZ of this process.
 *
 * It ends with 0 after SIGTERM or SIGINT, and with 2 when it can't work with what it was given.
 */

const limits = z.strictObject({
  cpu: z.number().positive(),
  memoryBytes: z.number().int().positive(),
  timeoutSeconds: z.number().positive(),
});
const slots = z.number().int().min(0).max(1_000);

const settings = z.strictObject({
  /** The kind of task, with its scope: `shop/production/render`. */
  kind: z.string(),
  retries: z.number().int().min(0).optional(),
  losses: z.number().int().min(1).optional(),
  fallback: z.enum(['bigger', 'none']).default('none'),
  command: z.string().min(1),
  cwd: z.string().default('.'),
  env: z.record(z.string(), z.string()).default({}),
  /** Names of variables of this process that commands get as well. */
  pass: z.array(z.string()).default([]),
  process: z.enum(['per-task', 'kept']).default('per-task'),
  limits: z.strictObject({ normal: limits, fallback: limits }),
  slots: z.strictObject({ normal: slots, fallback: slots }),
  /**
   * `given`: as many as `slots` says. `decided`: as the server says, from the first heartbeat on; several runners of one kind share what was
   * decided for it.
   */
  follow: z.enum(['given', 'decided']).default('given'),
  /** Folder for the folders of attempts. Default: one in TMPDIR. */
  folder: z.string().min(1).default(join(tmpdir(), 'slipway-attempts')),
  /** Seconds from SIGTERM to the end. */
  graceSeconds: z.number().min(0).default(25),
});
type Settings = z.output<typeof settings>;

const passedOn = ['PATH', 'HOME', 'LANG', 'TZ'];

async function main(): Promise<void> {
  const given = readSettings();
  const stopped = Promise.withResolvers<void>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stopped.resolve());
  // What writes to a broken pipe must not end the work.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

  let worker: CommandWorker | null = null;
  const decided = { ...given.slots };
  const { queue, files, close } = await connect(given, (all) => {
    const own = all.filter(({ kind }) => kind === given.kind);
    const changed = own.filter((one) => decided[one.lane] !== one.slots);
    if (changed.length === 0) return;
    for (const one of changed) decided[one.lane] = one.slots;
    worker?.setSlots({ ...decided });
  });
  const { kind: name, retries, losses, fallback, command, cwd, process: how, folder } = given;
  worker = runCommands(queue, {
    kind: { name, fallback, ...(retries !== undefined && { retries }), ...(losses !== undefined && { losses }) },
    command,
    cwd,
    env: { ...variables([...passedOn, ...given.pass]), ...given.env },
    process: how,
    limits: given.limits,
    slots: given.slots,
    folder,
    files,
    onLine: (line, taskId) => console.log(taskId === null ? line : `[task ${taskId}] ${line}`),
  });
  const started = await startUntil(worker, stopped.promise);
  if (started === 'yes') {
    console.log(`works on tasks of ${name}`);
    await stopped.promise;
  }
  await worker.stop(given.graceSeconds);
  await close();
}

/** Those of this process, where they are set. */
function variables(names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
}

/** The server may come later than we. @throws {ApiRefused} when it does not want us. */
async function startUntil(worker: CommandWorker, stopped: Promise<void>): Promise<'yes' | 'no'> {
  for (let pause = 100; ; pause = Math.min(pause * 2, 5_000)) {
    try {
      await worker.start();
      return 'yes';
    } catch (error) {
      if (error instanceof ApiRefused) throw error;
      console.error(`${describeError(error)} Trying again in ${pause / 1_000} s.`);
      const ended = await Promise.race([stopped.then(() => 'stopped'), delay(pause, 'later')]);
      if (ended === 'stopped') return 'no';
    }
  }
}

function readSettings(): Settings {
  const text = process.env['SLIPWAY_RUNNER'];
  if (text === undefined) throw new Error('SLIPWAY_RUNNER is not set: it holds the settings of the runner, as JSON.');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`SLIPWAY_RUNNER is not JSON: ${describeError(error)}`, { cause: error });
  }
  const parsed = settings.safeParse(value);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'it'}: ${message}`);
  throw new Error(`SLIPWAY_RUNNER can't be used: ${issues.join('; ')}`);
}

async function connect(
  given: Settings,
  onSlots: (slots: LaneSlots[]) => void,
): Promise<{ queue: CommandSource; files: FileStore | null; close: () => Promise<void> }> {
  const { SLIPWAY_URL: url, SLIPWAY_TOKEN: token = '', DATABASE_URL: database, SLIPWAY_OBJECTS: objects } = process.env;
  if (url !== undefined) {
    const name = process.env['SLIPWAY_INSTANCE'];
    const queue = new RemoteQueue({
      url,
      token,
      ...(name && { name }),
      onEvent: report,
      ...(given.follow === 'decided' && { onSlots }),
    });
    return { queue, files: queue.files, close: async () => undefined };
  }
  if (database === undefined) throw new Error('Neither SLIPWAY_URL nor DATABASE_URL is set: where are the tasks?');
  if (given.follow === 'decided') throw new Error("'follow: decided' needs SLIPWAY_URL: the server tells the slots.");
  const store = objects === undefined ? null : openStore(objects);
  const queue = await openQueue(database, { onEvent: report, ...(store !== null && { objects: store }) });
  return { queue, files: store && queue.own(store), close: async () => undefined };
}

/** What an operator wants to see between the lines of the commands. */
function report(event: QueueEvent): void {
  if (event.event === 'done' || event.event === 'connected') return;
  console.error(JSON.stringify(event));
}

try {
  await main();
  process.exit(0);
} catch (error) {
  console.error(describeError(error));
  process.exit(2);
}
