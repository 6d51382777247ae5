import { waitFor } from '@slipway/testing';
import type { Engine } from '../engine.ts';
import type { Plan, PlannedRelease, PlannedService, PlannedWorker } from '../plan.ts';
import type { EnvironmentStatus, InstanceStatus, Observation } from '../status.ts';

/** What a test may ask of an answer. */
export interface Answer {
  status: number;
  text(): Promise<string>;
}

/** What an engine's own test file gives the suite. */
export interface ConformanceSetup {
  engine: Engine;
  /** Makes an artifact from file names and contents; answers what a plan names it by. */
  artifact: (files: Record<string, string>) => Promise<string>;
  /** Sends a request through the engine's public entrance. Rejects when the connection fails. */
  request: (
    host: string,
    path: string,
    init?: { method?: string; headers?: Record<string, string>; body?: string },
  ) => Promise<Answer>;
  /** Kills the engine's own process with SIGKILL and starts it again; an engine without one leaves it out. */
  restart?: () => Promise<void>;
  dispose: () => Promise<void>;
}

/** What the tests of one suite share. Each test takes an environment of its own. */
export interface World extends ConformanceSetup {
  watcher: Watcher;
  /** The artifact of the suite's app, see `webApp`. */
  app: string;
  /** A fresh `APP/ENVIRONMENT`, removed at the end of the test. */
  environment: () => string;
}

/** Follows an engine's observations as a control plane does: keeps the newest status of each environment, and observes anew when the stream ends. */
export class Watcher {
  readonly seen: Observation[] = [];
  readonly #engine: Engine;
  readonly #newest = new Map<string, EnvironmentStatus>();
  readonly #abort = new AbortController();
  readonly #loop: Promise<void>;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#loop = this.#follow();
  }

  async #follow(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      try {
        for await (const observation of this.#engine.observe(this.#abort.signal)) this.#take(observation);
      } catch {
        // away; the next try tells
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  #take(observation: Observation): void {
    this.seen.push(observation);
    if (observation.kind === 'status') this.#newest.set(observation.status.environment, observation.status);
    if (observation.kind === 'removed') this.#newest.delete(observation.environment);
  }

  newest(environment: string): EnvironmentStatus | undefined {
    return this.#newest.get(environment);
  }

  /** Every status of one environment so far, oldest first. */
  history(environment: string): EnvironmentStatus[] {
    return this.seen.flatMap((seen) =>
      seen.kind === 'status' && seen.status.environment === environment ? [seen.status] : [],
    );
  }

  async until(
    environment: string,
    what: string,
    met: (status: EnvironmentStatus) => boolean,
    seconds = 20,
  ): Promise<EnvironmentStatus> {
    return await waitFor(
      () => {
        const status = this.newest(environment);
        if (status !== undefined && met(status)) return status;
        throw new Error(JSON.stringify(status));
      },
      { what: `${environment}: ${what}`, seconds },
    );
  }

  async serves(environment: string, release: number): Promise<EnvironmentStatus> {
    return await this.until(environment, `release ${release} to have the traffic`, (status) =>
      servesOnly(status, release),
    );
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#loop;
  }
}

export function servesOnly(status: EnvironmentStatus, release: number): boolean {
  return status.traffic.length === 1 && status.traffic[0]?.release === release;
}

export function instancesOf(status: EnvironmentStatus, release: number, name = 'web'): InstanceStatus[] {
  return status.instances.filter(
    (instance) => instance.release === release && instance.name === name && instance.state !== 'gone',
  );
}

const size = { cpu: 0.25, memory: 256 * 1024 * 1024 };

export function service(name: string, run: string, more: Partial<PlannedService> = {}): PlannedService {
  return {
    name,
    run,
    replicas: 1,
    size,
    stopSeconds: 5,
    health: '/healthz',
    route: '/',
    port: 3000,
    needs: [],
    startSeconds: 20,
    variables: {},
    ...more,
  };
}

export function worker(name: string, run: string, more: Partial<PlannedWorker> = {}): PlannedWorker {
  return { name, run, replicas: 1, size, stopSeconds: 5, variables: {}, ...more };
}

export function release(number: number, artifact: string, more: Partial<PlannedRelease> = {}): PlannedRelease {
  return {
    number,
    commit: number.toString(16).padStart(40, '0'),
    weight: 100,
    artifact,
    variables: {},
    services: [service('web', 'node web.js')],
    workers: [],
    ...more,
  };
}

export function plan(
  environment: string,
  generation: number,
  releases: PlannedRelease[],
  more: Partial<Plan> = {},
): Plan {
  return {
    environment,
    generation,
    hosts: [hostOf(environment)],
    sleepSeconds: null,
    tasks: 'none',
    releases,
    ...more,
  };
}

export function hostOf(environment: string): string {
  return `${environment.split('/').toReversed().join('.')}.localhost`;
}

/** A service that tells about itself, and does what its path and variables say. */
export const webApp = {
  'web.js': `
    const http = require('node:http');
    const began = Date.now();
    const readyAfter = Number(process.env.READY_AFTER ?? 0);
    const server = http.createServer(async (request, response) => {
      const url = new URL(request.url, 'http://app');
      const answer = (text) => response.end(String(text));
      switch (url.pathname) {
        case '/healthz': response.statusCode = Date.now() - began >= readyAfter ? 200 : 503; return answer('');
        case '/release': return answer(process.env.SLIPWAY_RELEASE);
        case '/pid': return answer(process.pid);
        case '/variables': return answer(JSON.stringify(process.env));
        case '/slow': return setTimeout(() => answer(process.env.SLIPWAY_RELEASE), Number(url.searchParams.get('ms')));
        case '/log': console.log(url.searchParams.get('line')); return answer('');
        case '/peer': return answer(await (await fetch(process.env.API_URL + '/release')).text() + ' ' + process.env.API_URL);
        case '/crash': return process.exit(3);
        default: return answer('hello');
      }
    });
    setTimeout(() => server.listen(process.env.PORT), Number(process.env.LISTEN_AFTER ?? 0));
    process.on('SIGTERM', () => { server.close(() => process.exit(0)); server.closeIdleConnections(); });
  `,
  'broken.js': `
    console.log('reading the config');
    console.error('no such thing: DATABASE_URL');
    process.exit(3);
  `,
  'deaf.js': `setInterval(() => {}, 1000);`,
  'worker.js': `
    let count = 0;
    console.log('worker of release ' + process.env.SLIPWAY_RELEASE);
    setInterval(() => console.log('tick ' + (count += 1)), 50);
  `,
};
