import { progress, round3 } from '../measure.ts';
import { type ContenderName, type Setting, sharedNow } from './contender.ts';
import { contenders } from './contenders.ts';
import { Part } from './part.ts';
import type { Servers } from './servers.ts';
import type { Handled } from './tally.ts';

const PER_CALL = 1_000;
const CONNECTIONS = 2;

/** Seconds that something may take before it counts as stuck. */
const STUCK_SECONDS = 600;

/** What each contender runs with: what its documentation says, until `choose` has found something faster. */
const chosen = new Map<ContenderName, Setting>();

export function settingOf(contender: ContenderName): Setting {
  return chosen.get(contender) ?? contenders[contender].settings[0];
}

/** Tries all settings of a contender with so many tasks, and keeps the fastest for all that comes. */
export async function choose(servers: Servers, contender: ContenderName, count: number): Promise<void> {
  const { settings } = contenders[contender];
  if (settings.length === 1) return;
  let best = { rate: 0, setting: settings[0] };
  for (const setting of settings) {
    chosen.set(contender, setting);
    const { done: rate } = await throughput(servers, contender, count);
    progress(`${contender}  ${JSON.stringify(setting)}  ${round3(rate)}`);
    if (rate > best.rate) best = { rate, setting };
  }
  chosen.set(contender, best.setting);
}

/** The processes of one measurement; all end with it, also when it fails. */
async function withParts<T>(
  servers: Servers,
  contender: ContenderName,
  measure: (producer: Part, worker: Part) => Promise<T>,
): Promise<T> {
  const server = await servers.fresh(contender);
  const producer = new Part(contender, 'producer', server);
  const worker = new Part(contender, 'worker', server);
  try {
    await producer.ask({ do: 'prepare' });
    return await measure(producer, worker);
  } finally {
    await Promise.all([producer.end(), worker.end()]);
  }
}

function addMany(producer: Part, from: number, count: number): Promise<{ seconds: number }> {
  return producer.ask({ do: 'add-many', from, count, perCall: PER_CALL, connections: CONNECTIONS });
}

/** Tasks a second that are added, 1,000 a call over two connections. Nobody works on them. */
export function enqueueRate(servers: Servers, contender: ContenderName, count: number): Promise<number> {
  return withParts(servers, contender, async (producer) => {
    const { seconds } = await addMany(producer, 0, count);
    const left = await producer.ask({ do: 'left' });
    if (left !== count) throw new Error(`${contender} was given ${count} tasks and has ${left}`);
    return count / seconds;
  });
}

/** Tasks a second, in two ways to count. */
export interface Rates {
  /** From the first handler's start until no task was left in the queue: what is done is also written down. */
  done: number;
  /** From the first handler's start to the last one's end. */
  handled: number;
}

/**
 * How fast tasks are worked on that are all there before the worker starts.
 *
 * @param backlog So many more tasks wait behind, and are left over.
 */
export function throughput(servers: Servers, contender: ContenderName, count: number, backlog = 0): Promise<Rates> {
  return withParts(servers, contender, async (producer, worker) => {
    await addMany(producer, 0, count + backlog);
    await servers.settle(contender);
    await worker.ask({ do: 'work', setting: settingOf(contender) });
    const handled = await patiently(contender, worker.ask({ do: 'handled', count }));
    // With a backlog the queue is not empty in the end, and counting what is left would be work for PostgreSQL.
    const emptyAt = backlog === 0 ? await patiently(contender, whenEmpty(producer)) : Number.NaN;
    const stopped = await worker.ask({ do: 'stop-working' });
    await requireOnce(contender, producer, stopped, count + backlog);
    return { done: count / ((emptyAt - handled.beganAt) / 1_000), handled: handled.tasks / handled.seconds };
  });
}

async function whenEmpty(producer: Part): Promise<number> {
  while ((await producer.ask({ do: 'left' })) > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  return sharedNow();
}

/** Milliseconds from before a task is added in one process until its handler starts in another one, on a queue with nothing else in it. */
export function pickups(servers: Servers, contender: ContenderName, count: number): Promise<number[]> {
  const WARM_UP = 20;
  return withParts(servers, contender, async (producer, worker) => {
    await worker.ask({ do: 'work', setting: settingOf(contender) });
    await producer.ask({ do: 'add-singly', from: 0, count: WARM_UP + count });
    await patiently(contender, worker.ask({ do: 'handled', count: WARM_UP + count }));
    const handled = await worker.ask({ do: 'stop-working' });
    await requireOnce(contender, producer, handled, WARM_UP + count);
    return handled.latencies.slice(WARM_UP).toSorted((a, b) => a - b);
  });
}

/**
 * How the rate changes while another connection holds a transaction open that still sees all that was deleted since: the rate in the last tenth of that time, at most
 * a minute, beside the rate before it. Tasks are added and worked on all the time.
 */
export function heldRatio(servers: Servers, contender: ContenderName, heldSeconds: number): Promise<number> {
  const window = Math.min(60, Math.max(5, heldSeconds / 10));
  return withParts(servers, contender, async (producer, worker) => {
    const flow = new Flow(producer, worker);
    const holder = await servers.connect(contender);
    try {
      await worker.ask({ do: 'work', setting: settingOf(contender) });
      flow.start();
      await flow.run(5);
      const free = await flow.run(window);
      progress(`${contender}  before: ${round3(free)}/s`);
      await holder.query('begin isolation level repeatable read');
      await holder.query('select pg_current_xact_id(), count(*) from pg_class'); // an id and a snapshot
      let held = 0;
      for (let left = heldSeconds; left > 0; left -= window) {
        held = await flow.run(Math.min(window, left));
        progress(`${contender}  held for ${round3(heldSeconds - left + window)} s: ${round3(held)}/s`);
      }
      await holder.query('rollback');
      const added = await flow.stop();
      await patiently(contender, worker.ask({ do: 'handled', count: added }));
      await requireOnce(contender, producer, await worker.ask({ do: 'stop-working' }), added);
      return held / free;
    } finally {
      await holder.end();
    }
  });
}

/** Adds tasks as they are worked on, so that there are always some, and never many. */
class Flow {
  static readonly WAITING = 20_000;
  readonly #producer: Part;
  readonly #worker: Part;
  #added = 0;
  #phase: 'running' | 'stopping' = 'running';
  #adding: Promise<void> = Promise.resolve();

  constructor(producer: Part, worker: Part) {
    this.#producer = producer;
    this.#worker = worker;
  }

  start(): void {
    this.#adding = this.#add();
    this.#adding.catch(() => undefined); // told by `stop`
  }

  /** @returns Tasks a second in this time. */
  async run(seconds: number): Promise<number> {
    const since = performance.now();
    const before = await this.#handled();
    await Promise.race([
      new Promise((resolve) => setTimeout(resolve, seconds * 1_000)),
      this.#adding.then(() => new Promise(() => undefined)),
    ]);
    const after = await this.#handled();
    return ((after - before) / (performance.now() - since)) * 1_000;
  }

  /** @returns How many were added. */
  async stop(): Promise<number> {
    this.#phase = 'stopping';
    await this.#adding;
    return this.#added;
  }

  async #handled(): Promise<number> {
    return (await this.#worker.ask({ do: 'handled', count: 0 })).tasks;
  }

  async #add(): Promise<void> {
    while (this.#phase === 'running') {
      const room = Flow.WAITING - (this.#added - (await this.#handled()));
      if (room >= PER_CALL) {
        await addMany(this.#producer, this.#added, room);
        this.#added += room;
      } else await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

async function patiently<T>(contender: ContenderName, work: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`${contender} was not done within ${STUCK_SECONDS} s`)),
    STUCK_SECONDS * 1_000,
  );
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Every task was handled once, and is gone from the queue exactly when it was. @throws {Error} with the counts. */
async function requireOnce(contender: ContenderName, producer: Part, handled: Handled, added: number): Promise<void> {
  const left = await producer.ask({ do: 'left' });
  if (handled.again === 0 && handled.tasks + left === added) return;
  throw new Error(
    `${contender} was given ${added} tasks, handled ${handled.tasks} and ${handled.again} of them again, and has ${left} left`,
  );
}
