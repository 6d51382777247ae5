import { Socket } from 'node:net';
import { createInterface } from 'node:readline';

/** What a kept program is given to work on. */
export interface KeptTask {
  id: string;
  /** 1 for the first try. */
  attempt: number;
  lane: 'normal' | 'fallback';
  /** Folder with the input files. */
  input: string;
  /** Folder for output files; empty at first. */
  output: string;
  /** Aborts when the worker is being stopped; finish soon, or throw. Its reason says how many seconds are left. */
  signal: AbortSignal;
  /** Tells how far it is: a share from 0 to 1, or an object. */
  progress: (value: number | Record<string, unknown>) => void;
}

/** Throw it from a handler when trying again would not help: the task goes to the dead letters. */
export class DiscardTask extends Error {
  override readonly name = 'DiscardTask';
}

/** Throw it from a handler to have the task tried again after some seconds, without using up a retry. */
export class TryAgain extends Error {
  override readonly name = 'TryAgain';
  readonly seconds: number;

  constructor(seconds: number, message = 'not yet') {
    super(message);
    this.seconds = seconds;
  }
}

/**
 * Works on tasks, one at a time, as a program that its worker keeps alive (`process: kept`). What the handler returns is the task's result
 * (a small JSON value); what it throws is its error. Returns when there are no more tasks; end the program then.
 *
 * ```ts
 * import { serveTasks } from '@slipway/queue/child';
 *
 * await serveTasks(async (payload, task) => {
 *   task.progress(0.5);
 *   return { seen: payload };
 * });
 * ```
 *
 * @throws {Error} when the program wasn't started by a worker.
 */
export async function serveTasks(handle: (payload: unknown, task: KeptTask) => Promise<unknown>): Promise<void> {
  const [tasks, answers] = openChannels();
  const write = (answer: object): void => void answers.write(`${JSON.stringify(answer)}\n`);
  const stopping = new AbortController();
  // In order, and one after another, though the word that it stops has to be heard meanwhile.
  let last: Promise<void> = Promise.resolve();
  for await (const line of createInterface({ input: tasks })) {
    const message: unknown = JSON.parse(line);
    if (isStop(message)) stopping.abort(`the worker stops in ${message.stopping} s`);
    if (isTask(message)) last = last.then(() => work(message.task, handle, stopping.signal, write));
  }
  await last;
  await new Promise<void>((resolve) => answers.end(resolve));
}

async function work(
  { payload, ...task }: Given,
  handle: (payload: unknown, task: KeptTask) => Promise<unknown>,
  signal: AbortSignal,
  write: (answer: object) => void,
): Promise<void> {
  const { id } = task;
  try {
    const progress: KeptTask['progress'] = (value) => write({ progress: id, value });
    const result = await handle(payload, { ...task, signal, progress });
    write({ done: id, result });
  } catch (error) {
    write({ failed: id, error: describe(error), ...verdictOf(error) });
  }
}

function verdictOf(error: unknown): object {
  if (error instanceof DiscardTask) return { discard: true };
  return error instanceof TryAgain ? { again: Math.max(0, error.seconds) } : {};
}

/** Characters; an error is read by people. */
const longestError = 4000;

function describe(error: unknown): string {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return text.slice(0, longestError);
}

type Given = Omit<KeptTask, 'signal' | 'progress'> & { payload: unknown };

/** What comes on fd 3 comes from the worker, which is trusted. */
function isTask(message: unknown): message is { task: Given } {
  return typeof message === 'object' && message !== null && 'task' in message;
}

function isStop(message: unknown): message is { stopping: number } {
  return typeof message === 'object' && message !== null && 'stopping' in message;
}

function openChannels(): [Socket, Socket] {
  try {
    const tasks = new Socket({ fd: 3, readable: true, writable: false });
    const answers = new Socket({ fd: 4, readable: false, writable: true });
    // The worker is gone, and it ends us; there is nobody to tell.
    answers.on('error', () => undefined);
    return [tasks, answers];
  } catch (error) {
    throw new Error(
      "serveTasks has no tasks to serve: this program is for a worker with `process: kept`, which starts it. Don't start it by hand.",
      { cause: error },
    );
  }
}
