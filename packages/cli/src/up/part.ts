import { setTimeout as delay } from 'node:timers/promises';

/** One process that `up` keeps running. */
export interface Part {
  /** As people know it, e.g. `control plane`. */
  readonly title: string;
  /** Starts it, or adopts the one that runs; resolves when it answers. */
  start(): Promise<RunningPart>;
  /** Ends it, whoever started it; fine when none runs. */
  stop(): Promise<void>;
}

export interface RunningPart {
  how: 'started' | 'adopted';
  /** Resolves, never rejects, with how it ended, e.g. `was ended by SIGKILL`. */
  ended: Promise<string>;
}

const FIRST_BACKOFF_SECONDS = 0.1;
const LONGEST_BACKOFF_SECONDS = 10;
/** A part that ran this long has recovered: the next back-off is the first one again. */
const RECOVERED_SECONDS = 60;

/**
 * Keeps a part running: when it ends without being asked to, it is started again after a back-off that doubles each time.
 *
 * The first start may fail, and then the caller is told; later ones are tried for ever.
 */
export class KeptPart {
  readonly #part: Part;
  readonly #say: (text: string) => void;
  readonly #stopping = new AbortController();
  #first: Promise<RunningPart> | null = null;
  #loop: Promise<void> = Promise.resolve();

  constructor(part: Part, say: (text: string) => void) {
    this.#part = part;
    this.#say = say;
  }

  async start(): Promise<RunningPart> {
    if (this.#first === null) {
      this.#first = this.#part.start();
      this.#loop = this.#first.then(
        (running) => this.#keep(running),
        () => {},
      );
    }
    return this.#first;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#part.stop();
    await this.#loop;
    // A start that was under way when it was ended may have come through.
    await this.#part.stop();
  }

  async #keep(first: RunningPart): Promise<void> {
    let running: RunningPart | null = first;
    let how = '';
    let backoff = FIRST_BACKOFF_SECONDS;
    while (!this.#stopped()) {
      if (running !== null) {
        const since = performance.now();
        how = await running.ended;
        if (performance.now() - since > RECOVERED_SECONDS * 1000) backoff = FIRST_BACKOFF_SECONDS;
      }
      if (this.#stopped()) return;
      this.#say(`The ${this.#part.title} ${how}. Starting it again in ${backoff} s.`);
      await delay(backoff * 1000, undefined, { signal: this.#stopping.signal }).catch(() => {});
      backoff = Math.min(backoff * 2, LONGEST_BACKOFF_SECONDS);
      if (this.#stopped()) return;
      running = await this.#part.start().catch((error: unknown) => {
        how = `did not start: ${error instanceof Error ? error.message : String(error)}`;
        return null;
      });
      if (running !== null) this.#say(`The ${this.#part.title} runs again.`);
    }
  }

  #stopped(): boolean {
    return this.#stopping.signal.aborted;
  }
}
