import { type Payload, sharedNow } from './contender.ts';

const LATENCIES = 1_000;

export interface Handled {
  tasks: number;
  /** Times that a task was handled again. */
  again: number;
  /** When the first handler started: milliseconds of the shared clock. */
  beganAt: number;
  /** From then to the last one's end. */
  seconds: number;
  /** From before a task was added until its handler started, of the first tasks. */
  latencies: number[];
  cpuSeconds: number;
}

/** What was handled in this process, by number. */
export class Tally {
  #seen = new Uint8Array(1 << 20);
  #tasks = 0;
  #again = 0;
  #first = 0;
  #last = 0;
  readonly #latencies: number[] = [];
  #awaited: { count: number; resolve: () => void } | null = null;

  add({ n, at }: Payload): void {
    const now = sharedNow();
    if (this.#tasks === 0) this.#first = now;
    this.#last = now;
    if (this.#latencies.length < LATENCIES) this.#latencies.push(now - at);
    if (n >= this.#seen.length) this.#grow(n);
    if (this.#seen[n] === 1) this.#again += 1;
    else this.#tasks += 1;
    this.#seen[n] = 1;
    if (this.#awaited !== null && this.#tasks >= this.#awaited.count) {
      this.#awaited.resolve();
      this.#awaited = null;
    }
  }

  /** Resolves when so many different tasks were handled. One at a time may wait. */
  reached(count: number): Promise<void> {
    if (this.#tasks >= count) return Promise.resolve();
    return new Promise((resolve) => (this.#awaited = { count, resolve }));
  }

  read(): Handled {
    const { user, system } = process.cpuUsage();
    return {
      tasks: this.#tasks,
      again: this.#again,
      beganAt: this.#first,
      seconds: (this.#last - this.#first) / 1_000,
      latencies: this.#latencies,
      cpuSeconds: (user + system) / 1e6,
    };
  }

  #grow(n: number): void {
    const seen = new Uint8Array(Math.max(n + 1, this.#seen.length * 2));
    seen.set(this.#seen);
    this.#seen = seen;
  }
}
