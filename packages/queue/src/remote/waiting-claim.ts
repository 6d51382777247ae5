/** What a claim that waits is about. */
export interface WaitingFor {
  /** Kinds that begin so: slots of others are no news. */
  scope: string;
  seconds: number;
  /** Tasks that its worker runs, whose cancelling ends the wait. */
  running: readonly string[];
  /** `nothing`: its worker has no slot free, and only wants to hear of the rest. */
  wants: 'tasks' | 'nothing';
  /** Aborts when nobody waits for the answer any more. */
  signal: AbortSignal;
}

/**
 * One claim that waits for news, until its time is over.
 *
 * | news | what it does |
 * | --- | --- |
 * | there may be tasks (`wake`)                  | it looks for some |
 * | one of its tasks was cancelled (`cancelled`) | it looks which, and looks for tasks as well |
 * | slots were decided anew, another claim of its worker came, its time is over, nobody waits any more (`end`) | it is answered |
 */
export class WaitingClaim {
  readonly scope: string;
  readonly #running: ReadonlySet<string>;
  readonly #wants: 'tasks' | 'nothing';
  #cancels: 'maybe' | 'none';
  #news = Promise.withResolvers<void>();
  readonly #timer: NodeJS.Timeout;
  readonly #signal: AbortSignal;
  readonly #end = () => this.end();
  #state: 'waits' | 'over';
  wasWoken = false;

  constructor({ scope, seconds, running, wants, signal }: WaitingFor) {
    this.scope = scope;
    this.#wants = wants;
    this.#running = new Set(running);
    // What was cancelled before it came was told to nobody.
    this.#cancels = running.length > 0 ? 'maybe' : 'none';
    this.#state = seconds > 0 ? 'waits' : 'over';
    this.#signal = signal;
    this.#timer = setTimeout(this.#end, seconds * 1_000);
    signal.addEventListener('abort', this.#end);
  }

  get state(): 'waits' | 'over' {
    return this.#state;
  }

  get news(): Promise<void> {
    return this.#news.promise;
  }

  /** What is told from now on is not known to the look that begins. */
  begin(): void {
    this.wasWoken = false;
    if (this.#state === 'waits') this.#news = Promise.withResolvers<void>();
  }

  /** Its tasks of which some may be cancelled since it was asked last; mostly none. */
  takeCancels(): string[] {
    const asked = this.#cancels === 'maybe' ? [...this.#running] : [];
    this.#cancels = 'none';
    return asked;
  }

  wake(): void {
    if (this.#wants === 'tasks') this.#wakeNow();
  }

  /** @param taskId null: nobody knows which, if any; news may have got lost. */
  cancelled(taskId: string | null): void {
    if (this.#running.size === 0 || (taskId !== null && !this.#running.has(taskId))) return;
    this.#cancels = 'maybe';
    this.#wakeNow();
  }

  end(): void {
    this.#state = 'over';
    clearTimeout(this.#timer);
    this.#signal.removeEventListener('abort', this.#end);
    this.#news.resolve();
  }

  #wakeNow(): void {
    this.wasWoken = true;
    this.#news.resolve();
  }
}
