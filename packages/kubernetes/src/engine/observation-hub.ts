import type { EnvironmentStatus, Observation } from '@slipway/engine';
import { Queue } from './queue.ts';

/** Passes observations on to everybody who observes. */
export class ObservationHub {
  readonly #observers = new Set<Queue<Observation>>();

  publish(observation: Observation): void {
    for (const observer of this.#observers) observer.push(observation);
  }

  /** Ends every stream; later ones begin anew. */
  close(): void {
    for (const observer of this.#observers) observer.end();
  }

  /** First `now`, then `synced`, then what is published. */
  async *observe(now: readonly EnvironmentStatus[], signal: AbortSignal): AsyncGenerator<Observation> {
    if (signal.aborted) return;
    const observer = new Queue<Observation>();
    const end = (): void => observer.end();
    signal.addEventListener('abort', end);
    this.#observers.add(observer);
    try {
      for (const status of now) yield { kind: 'status', status };
      yield { kind: 'synced' };
      yield* observer.take();
    } finally {
      this.#observers.delete(observer);
      signal.removeEventListener('abort', end);
    }
  }
}
