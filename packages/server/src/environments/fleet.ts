import { EventEmitter } from 'node:events';
import { messageOf } from '@slipway/app';
import type { Engine, EnvironmentStatus } from '@slipway/engine';

/**
 * What the engine sees now, kept by observing it. The engine's stream ends when the engine goes away; it is opened again with
 * back-off until it is back, and what vanished meanwhile is forgotten at `synced`.
 */
export class Fleet {
  readonly #engine: Engine;
  readonly #statuses = new Map<string, EnvironmentStatus>();
  readonly #emitter = new EventEmitter<{ change: [string, EnvironmentStatus | null]; synced: [] }>();
  readonly #log: (message: string) => void;
  #abort: AbortController | null = null;
  #loop: Promise<void> | null = null;
  #goneSince: Date | null = new Date();

  constructor(engine: Engine, log: (message: string) => void) {
    this.#engine = engine;
    this.#log = log;
    this.#emitter.setMaxListeners(0);
  }

  start(): Promise<void> {
    this.#abort = new AbortController();
    this.#loop ??= this.#observe(this.#abort.signal);
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#abort?.abort();
    await this.#loop;
    this.#loop = null;
  }

  /** Whether the engine answers; while it does not, statuses are the last known ones. */
  get connected(): boolean {
    return this.#goneSince === null;
  }

  /** When the engine stopped answering; null while it answers. */
  get goneSince(): Date | null {
    return this.#goneSince;
  }

  /** The newest status of `APP/ENVIRONMENT`; null when the engine has nothing of it. */
  status(environment: string): EnvironmentStatus | null {
    return this.#statuses.get(environment) ?? null;
  }

  /** Names of all environments the engine has. */
  environments(): string[] {
    return [...this.#statuses.keys()];
  }

  /** Calls `listener` with `APP/ENVIRONMENT` and its status (null: removed). Returns the function that ends it. */
  onChange(listener: (environment: string, status: EnvironmentStatus | null) => void): () => void {
    this.#emitter.on('change', listener);
    return () => this.#emitter.off('change', listener);
  }

  /** Calls `listener` whenever everything the engine has is known: after the start, and after the engine was gone. Returns the function that ends it. */
  onSynced(listener: () => void): () => void {
    this.#emitter.on('synced', listener);
    return () => this.#emitter.off('synced', listener);
  }

  /** Takes the status that came as the answer to a new plan, unless the stream, which goes on telling, was quicker. */
  note(status: EnvironmentStatus): void {
    const known = this.#statuses.get(status.environment);
    if (known && known.generation >= status.generation) return;
    this.#statuses.set(status.environment, status);
    this.#emitter.emit('change', status.environment, status);
  }

  /**
   * Waits until `judge` gives an answer for the environment's status.
   *
   * @param judge returns undefined to go on waiting. It sees null while the engine has nothing of the environment.
   * @throws the signal's reason when it aborts.
   */
  until<Answer>(
    environment: string,
    judge: (status: EnvironmentStatus | null) => Answer | undefined,
    signal: AbortSignal,
  ): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      const finish = (settle: () => void): void => {
        off();
        signal.removeEventListener('abort', aborted);
        settle();
      };
      const aborted = (): void => finish(() => reject(signal.reason));
      const look = (status: EnvironmentStatus | null): void => {
        let answer: Answer | undefined;
        try {
          answer = judge(status);
        } catch (error) {
          finish(() => reject(error));
          return;
        }
        if (answer !== undefined) finish(() => resolve(answer));
      };
      const off = this.onChange((name, status) => {
        if (name === environment) look(status);
      });
      if (signal.aborted) {
        aborted();
        return;
      }
      signal.addEventListener('abort', aborted);
      look(this.status(environment));
    });
  }

  async #observe(signal: AbortSignal): Promise<void> {
    let delay = 50;
    while (!signal.aborted) {
      const seen = new Set<string>();
      let synced: 'yes' | 'no' = 'no';
      try {
        for await (const observation of this.#engine.observe(signal)) {
          delay = 50;
          if (observation.kind === 'status') {
            if (synced === 'no') seen.add(observation.status.environment);
            this.#statuses.set(observation.status.environment, observation.status);
            this.#emitter.emit('change', observation.status.environment, observation.status);
          } else if (observation.kind === 'removed') {
            this.#forget(observation.environment);
          } else {
            synced = 'yes';
            this.#goneSince = null;
            for (const environment of this.#statuses.keys()) if (!seen.has(environment)) this.#forget(environment);
            this.#emitter.emit('synced');
          }
        }
      } catch (error) {
        if (this.connected)
          this.#log(`the engine ${this.#engine.name} does not answer (${messageOf(error)}); trying again`);
      }
      this.#goneSince ??= new Date();
      await pause(delay, signal);
      delay = Math.min(delay * 2, 2_000);
    }
  }

  #forget(environment: string): void {
    this.#statuses.delete(environment);
    this.#emitter.emit('change', environment, null);
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener('abort', done);
  });
}
