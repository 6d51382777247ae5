import type { Engine, EnvironmentStatus, Plan } from '@slipway/engine';

interface Wait {
  environment: string;
  met: (status: EnvironmentStatus) => boolean;
  resolve: (status: EnvironmentStatus) => void;
}

/** The newest status of every environment of an engine, and those who wait for one. Nothing is asked for: the engine tells. */
export class Observed {
  readonly #newest = new Map<string, EnvironmentStatus>();
  readonly #waits = new Set<Wait>();
  readonly #abort = new AbortController();
  readonly #synced = Promise.withResolvers<void>();
  readonly #loop: Promise<void>;

  constructor(engine: Engine) {
    this.#loop = this.#follow(engine);
  }

  /** Resolves when every environment that there was at first has been told. */
  get synced(): Promise<void> {
    return this.#synced.promise;
  }

  get all(): EnvironmentStatus[] {
    return [...this.#newest.values()];
  }

  /** Resolves with the first status, from the newest on, that meets it. @throws {Error} with the newest one after `seconds`. */
  async until(
    environment: string,
    what: string,
    met: (status: EnvironmentStatus) => boolean,
    seconds = 240,
  ): Promise<EnvironmentStatus> {
    const now = this.#newest.get(environment);
    if (now !== undefined && met(now)) return now;
    return await new Promise((resolve, reject) => {
      const wait: Wait = {
        environment,
        met,
        resolve: (status) => {
          clearTimeout(late);
          resolve(status);
        },
      };
      const late = setTimeout(() => {
        this.#waits.delete(wait);
        const newest = JSON.stringify(this.#newest.get(environment));
        reject(new Error(`waited ${seconds} s for ${environment} ${what}; it is ${newest}`));
      }, seconds * 1_000);
      this.#waits.add(wait);
    });
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#loop;
  }

  async #follow(engine: Engine): Promise<void> {
    for await (const observation of engine.observe(this.#abort.signal)) {
      if (observation.kind === 'synced') this.#synced.resolve();
      if (observation.kind === 'removed') this.#newest.delete(observation.environment);
      if (observation.kind === 'status') this.#take(observation.status);
    }
  }

  #take(status: EnvironmentStatus): void {
    this.#newest.set(status.environment, status);
    for (const wait of this.#waits)
      if (wait.environment === status.environment && wait.met(status)) {
        this.#waits.delete(wait);
        wait.resolve(status);
      }
  }
}

/** Whether every instance that the newest release of a plan wants is ready. */
export function allReady(plan: Plan): (status: EnvironmentStatus) => boolean {
  const release = plan.releases.at(-1);
  const wanted = release?.services.reduce((sum, { replicas }) => sum + replicas, 0) ?? 0;
  return ({ generation, instances }) =>
    generation === plan.generation &&
    instances.filter((one) => one.release === release?.number && one.state === 'ready').length === wanted;
}

/** Whether requests go to the newest release of a plan, and nothing of another is left. */
export function hasMoved(plan: Plan): (status: EnvironmentStatus) => boolean {
  const number = plan.releases.at(-1)?.number;
  return ({ traffic, instances }) =>
    traffic.length === 1 &&
    traffic[0]?.release === number &&
    instances.every(({ release, state }) => release === number || state === 'gone');
}
