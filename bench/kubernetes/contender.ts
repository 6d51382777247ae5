import { setTimeout as delay } from 'node:timers/promises';
import { waitFor } from '@slipway/testing';
import type { Api, AuditedCall, Caller } from '@slipway/testing/cluster';
import { namespaceOf } from './workload.ts';

/** One way to bring an environment to a cluster. */
export interface Contender {
  caller: Caller;
  /** Makes the environment. @returns Seconds until everything in it is ready. */
  up(environment: string): Promise<number>;
  /** Ends it. @returns Seconds until its namespace is gone. */
  gone(environment: string): Promise<number>;
}

const REST_MILLISECONDS = 3_000;

/** What somebody asked of the API server during `work`, and until nothing came any more for some seconds. */
export async function callsDuring<T>(
  caller: Caller,
  work: () => Promise<T>,
): Promise<{ value: T; calls: AuditedCall[] }> {
  const before = (await caller.calls()).length;
  const value = await work();
  for (let last = -1; ;) {
    const calls = (await caller.calls()).slice(before);
    if (calls.length === last) return { value, calls };
    last = calls.length;
    await delay(REST_MILLISECONDS);
  }
}

export interface CallKinds {
  reads: number;
  writes: number;
  watches: number;
  /** Of a connection on which nothing came for long. */
  heartbeats: number;
}

export function kindsOf(calls: readonly AuditedCall[]): CallKinds {
  const kinds: CallKinds = { reads: 0, writes: 0, watches: 0, heartbeats: 0 };
  for (const { verb, uri } of calls) {
    if (verb === 'watch') kinds.watches += 1;
    else if (uri === '/version') kinds.heartbeats += 1;
    else if (verb === 'get' || verb === 'list') kinds.reads += 1;
    else kinds.writes += 1;
  }
  return kinds;
}

export async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1_000;
}

/** Every contender is done when the API server says that the namespace is not there any more. */
export async function waitUntilGone(api: Api, environment: string): Promise<void> {
  const asked = `/api/v1/namespaces/${namespaceOf(environment)}`;
  await waitFor(async () => (await api.send('GET', asked)).status === 404, {
    what: `the namespace of ${environment} to be gone`,
    seconds: 240,
  });
}
