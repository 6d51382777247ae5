import { request } from 'node:http';
import { connect } from 'node:net';
import type { listenerOf } from './listeners.ts';

/**
 * | answer | meaning |
 * | --- | --- |
 * | closed    | nothing listens on the port |
 * | unhealthy | the port is open, but the health path answers an error, or nothing in time |
 * | healthy   | 2xx or 3xx, or an open port when there is no health path |
 */
export type Probe = { answer: 'closed' } | { answer: 'unhealthy'; detail: string } | { answer: 'healthy' };

/** Asks an instance on 127.0.0.1 once. Never throws. `timeout` in milliseconds. */
export async function probe(port: number, path: string | null, timeout: number): Promise<Probe> {
  return path === null ? await probePort(port, timeout) : await probePath(port, path, timeout);
}

async function probePort(port: number, timeout: number): Promise<Probe> {
  return await new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.setTimeout(timeout, () => socket.destroy(new Error('timeout')));
    socket.once('connect', () => {
      resolve({ answer: 'healthy' });
      socket.destroy();
    });
    socket.once('error', () => resolve({ answer: 'closed' }));
  });
}

async function probePath(port: number, path: string, timeout: number): Promise<Probe> {
  return await new Promise((resolve) => {
    const headers = { host: 'localhost', 'user-agent': 'slipway-health', connection: 'close' };
    const outgoing = request({ host: '127.0.0.1', port, path, agent: false, headers }, (response) => {
      const status = response.statusCode ?? 0;
      response.resume();
      resolve(
        status >= 200 && status < 400 ? { answer: 'healthy' } : { answer: 'unhealthy', detail: `answered ${status}` },
      );
    });
    // One limit for the whole exchange: a slow drip of bytes is no health.
    const timer = setTimeout(() => outgoing.destroy(new Error('timeout')), timeout);
    outgoing.once('close', () => clearTimeout(timer));
    outgoing.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') resolve({ answer: 'closed' });
      else if (error.message === 'timeout') {
        resolve({ answer: 'unhealthy', detail: `did not answer within ${timeout / 1000} s` });
      } else resolve({ answer: 'unhealthy', detail: `broke the connection (${error.code ?? error.message})` });
    });
    outgoing.end();
  });
}

/** Milliseconds. */
const firstProbeAfter = 10;
const slowestProbe = 250;
/** Of what is ready: while requests come, and while none does, so that nobody waits for the answer. */
const liveEvery = 10_000;
const liveQuietEvery = 30_000;
const missedEvery = 1000;
const missesAllowed = 3;
/** Looks in a row that may not tell whose the port is, before it is believed. */
const hiddenLooks = 15;

/** Watches one process from its start. Everything it finds goes to one of the callbacks; `stop` ends it at once. */
export interface HealthWatch {
  stop(): void;
}

export interface HealthOptions {
  port: number;
  path: string | null;
  /** Milliseconds from now until {@link HealthOptions.onLate}; null: it was healthy before, any failure to answer is a miss. */
  startWithin: number | null;
  /** No request came lately. */
  quiet: () => boolean;
  /** Asked once the port answers. While the kernel's table does not show the listener (`nobody`), it is probed again. */
  listener: () => Promise<ReturnType<typeof listenerOf>>;
  onReady: () => void;
  onForeign: () => void;
  onLate: (last: Probe) => void;
  /** Was ready, and has not answered several times in a row. */
  onLost: (last: Probe) => void;
}

/** Probes quickly until the first healthy answer (every 10 ms, backing off to 250 ms), then every 10 s, or every 30 s while it is quiet. */
export function watchHealth(options: HealthOptions): HealthWatch {
  const began = performance.now();
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let misses = 0;
  let hidden = 0;
  const again = (ms: number, next: () => Promise<void>): void => {
    timer = setTimeout(() => void next(), ms);
  };

  async function starting(): Promise<void> {
    const left = (options.startWithin ?? 0) - (performance.now() - began);
    const found = await probe(options.port, options.path, Math.max(250, Math.min(5000, left)));
    const listener = found.answer === 'healthy' ? await options.listener() : 'nobody';
    if (stopped) return;
    if (listener === 'foreign') return options.onForeign();
    // The kernel hides the files of a process that is just ending, too: only what stays hidden is believed.
    hidden = listener === 'unknown' ? hidden + 1 : 0;
    if (listener === 'ours' || hidden >= hiddenLooks) {
      options.onReady();
      return again(liveEvery, living);
    }
    if (options.startWithin !== null && performance.now() - began >= options.startWithin) return options.onLate(found);
    // In step with the age: a start is noticed at most a twentieth of its own length late.
    const delay = Math.max(firstProbeAfter, Math.min((performance.now() - began) / 20, slowestProbe));
    again(delay, starting);
  }

  async function living(): Promise<void> {
    const found = await probe(options.port, options.path, 5000);
    if (stopped) return;
    misses = found.answer === 'healthy' ? 0 : misses + 1;
    if (misses >= missesAllowed) return options.onLost(found);
    again(misses > 0 ? missedEvery : options.quiet() ? liveQuietEvery : liveEvery, living);
  }

  if (options.startWithin === null) again(liveEvery, living);
  else again(firstProbeAfter, starting);
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
