/** What each task carries: its number, so that what ran twice or never is seen, and some data as tasks have it. */
export interface Payload {
  n: number;
  /** When its enqueuing began: milliseconds of the clock that all processes of a machine share. */
  at: number;
  image: string;
  width: number;
}

/** Adds tasks, from a process of its own. */
export interface Producer {
  add(payload: Payload): Promise<void>;
  addMany(payloads: Payload[]): Promise<void>;
  close(): Promise<void>;
}

/** What makes a worker process faster or slower. What it is called differs. */
export interface Setting {
  /** Tasks that are fetched with one statement. Nothing where a contender knows no such number. */
  ahead?: number;
  /** Handlers, or fetchers of batches, at once. */
  atOnce: number;
}

/** A queue. `server` is the URL of its PostgreSQL database, or of Redis. */
export interface Contender {
  /** What its documentation recommends, first, and others around that: the benchmark takes the fastest. */
  settings: readonly [Setting, ...Setting[]];
  /** Makes tables and whatever else must be there before the first task. */
  prepare(server: string): Promise<void>;
  /** It sends its tasks over one connection. */
  produce(server: string): Promise<Producer>;
  /** Works on tasks, all in this process, until the function that it returns was called: that waits for what is under way. */
  work(server: string, handle: (payload: Payload) => void, setting: Setting): Promise<() => Promise<void>>;
  /** Tasks that are not done: waiting, running or failed. */
  left(server: string): Promise<number>;
}

export type ContenderName = 'slipway' | 'graphile' | 'pgboss' | 'bullmq_postgres' | 'bullmq_redis';

/** Milliseconds of CLOCK_MONOTONIC, which all processes of a machine share. */
export function sharedNow(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export function payloadOf(n: number): Payload {
  return { n, at: sharedNow(), image: 'https://example.com/some/image.png', width: 640 };
}
