import {
  type Attempt,
  Crashed,
  Discard,
  type Handler,
  Interrupted,
  OutOfMemory,
  Snooze,
  TimedOut,
} from '../attempt.ts';
import { attemptPrefix, download, ObjectStoreDown, type ObjectStore, upload } from '../objects/index.ts';
import type { WorkOptions } from '../queue-options.ts';
import type { AttemptEnd } from '../runtime/attempt-end.ts';
import { CommandRunner, type CommandRunnerOptions } from '../runtime/command-runner.ts';
import type { Lane } from '../statements/lane.ts';
import { taskKind, type TaskKind } from '../task-kind.ts';
import { z } from 'zod';
import type { FileStore } from './remote-files.ts';
import { unwrapFiles } from './task-files.ts';

/** Seconds of the grace that are kept for the output of attempts that finish within it, and for giving back the others. */
const CLOSING_SECONDS = 1;

/** Where tasks come from: a {@link Queue} or a {@link RemoteQueue}. */
export interface CommandSource {
  work(kind: TaskKind<unknown>, handler: Handler<unknown>, options: WorkOptions): void;
  resize(kind: string, lane: Lane, concurrency: number): void;
  start(): Promise<void>;
  stop(options: { graceSeconds: number }): Promise<void>;
}

export interface RunCommandsOptions extends CommandRunnerOptions {
  /** Whose tasks; see {@link taskKind}. The payload is the command's business. */
  kind: Omit<Parameters<typeof taskKind<unknown>>[0], 'payload'>;
  /** Where input and output files are; null: there are none, and what a command leaves is thrown away. */
  files: FileStore | null;
}

export interface CommandWorker {
  /** @throws what the queue's start throws; then it may be called again. */
  start(): Promise<void>;
  /** Attempts may finish within the grace; the others go back, and use up nothing. Resolves within it. */
  stop(graceSeconds: number): Promise<void>;
  /** How many attempts run at once from now on; what runs goes on. */
  setSlots(slots: Record<Lane, number>): void;
}

/**
 * Works on tasks of one kind by running a command for each: see docs/workers.md for what it gets. Input files are there before it starts; what it
 * leaves in its output folder is uploaded to a place of this attempt's own, and becomes visible with the end of the task, if the lease is still held then.
 *
 * ```ts
 * const worker = runCommands(queue, { kind: { name: 'render' }, command: 'python3 render.py', … });
 * await worker.start();
 * ```
 */
export function runCommands(queue: CommandSource, options: RunCommandsOptions): CommandWorker {
  const kind = taskKind({ ...options.kind, payload: z.unknown() });
  const runner = new CommandRunner(options);
  const handler: Handler<unknown> = (stored, attempt) => runAttempt(runner, options, stored, attempt);
  const lanes = (['normal', 'fallback'] as const).filter((lane) => lane === 'normal' || kind.fallback === 'bigger');
  for (const lane of lanes) queue.work(kind, handler, { lane, concurrency: options.slots[lane] });
  return {
    async start() {
      runner.start();
      await queue.start();
    },
    async stop(graceSeconds) {
      const working = Math.max(0, graceSeconds - CLOSING_SECONDS);
      await Promise.all([runner.stop(working), queue.stop({ graceSeconds })]);
      await runner.tidied();
    },
    setSlots(slots) {
      runner.setSlots(slots);
      for (const lane of lanes) queue.resize(kind.name, lane, slots[lane]);
    },
  };
}

async function runAttempt(
  runner: CommandRunner,
  { files: store, limits }: RunCommandsOptions,
  stored: unknown,
  attempt: Attempt,
): Promise<unknown> {
  const { taskId: id, number, lane, lease, signal } = attempt;
  const { payload, files } = unwrapFiles(stored);
  const folder = await runner.prepare();
  try {
    if (files.length > 0) await download(storeFor(store), files, folder.input);
    if (signal.aborted) throw new Interrupted('It was ended before its command was started.');
    const onProgress = attempt.progress;
    const { end, usage, result } = await runner.run(
      { id, attempt: number, lane, payload, folder },
      { signal, onProgress },
    );
    attempt.used({ ...usage, limits: limits[lane] });
    throwUnlessDone(end);
    if (store !== null) attempt.output(await upload(whole(store), folder.output, attemptPrefix(id, number, lease)));
    return result;
  } finally {
    void runner.dispose(folder); // the slot's next task doesn't wait for it
  }
}

/** Says by an error what becomes of the task: see `outcomeOf`. */
function throwUnlessDone(end: AttemptEnd): void {
  switch (end.kind) {
    case 'done':
      return;
    case 'error':
      throw new Error(end.message);
    case 'discarded':
      throw new Discard(end.message);
    case 'again':
      throw new Snooze(end.seconds);
    case 'oom':
      throw new OutOfMemory(end.message);
    case 'timeout':
      throw new TimedOut(end.message);
    case 'crash':
      throw new Crashed(end.message);
    case 'interrupted':
      throw new Interrupted(`It was ended: ${end.reason}.`);
  }
}

/** A worker that was configured without a store must not use up the retries of tasks that need one. */
function storeFor(store: FileStore | null): ObjectStore {
  if (store !== null) return whole(store);
  throw new ObjectStoreDown('The task has input files, and this worker was given no object store.');
}

/** `download` and `upload` only get and put. */
function whole(store: FileStore): ObjectStore {
  const never = () => {
    throw new Error('a worker neither lists nor deletes objects');
  };
  return {
    ...store,
    put: (key, body) => store.put(key, body),
    get: (key) => store.get(key),
    list: never,
    delete: never,
    discardUnfinished: never,
  };
}
