import type { ApiEnvironment, ApiEvent } from '../api/client.ts';

/**
 * The one place that knows what is: every environment, kept true by the stream of the control plane.
 *
 * | connection | meaning | left when |
 * | --- | --- | --- |
 * | connecting | the first connection; nothing is known yet | `synced` arrives: live; it breaks: reconnecting |
 * | live | what is shown is what the control plane said last | it breaks: reconnecting; the page was hidden for a minute: paused |
 * | reconnecting | what is shown may be old; tried again with back-off | `synced` arrives: live |
 * | paused | nobody looks: the stream is closed, because a browser has only six connections for all its tabs | the page is seen again: reconnecting |
 *
 * `#move` is the only writer. Each connection starts from nothing: what arrives before `synced` is collected and then
 * replaces everything, so what is gone from the control plane goes from the page too.
 */
export type Connection = 'connecting' | 'live' | 'reconnecting' | 'paused';

export interface LiveState {
  readonly connection: Connection;
  /** By {@link environmentKey}; null until the first `synced`. */
  readonly environments: ReadonlyMap<string, ApiEnvironment> | null;
}

export interface LiveListeners {
  /** Something happened that was not known before. */
  event(event: ApiEvent): void;
  /** Everything was told anew: what was fetched before may be old. */
  synced(): void;
  /** The control plane refused the stream: the session may have ended. */
  refused(): void;
}

const firstRetryMilliseconds = 400;
const lastRetryMilliseconds = 8_000;
const hiddenMilliseconds = 60_000;

export const environmentKey = (environment: { app: string; environment: string }) =>
  `${environment.app}/${environment.environment}`;

export class LiveStore {
  #state: LiveState = { connection: 'connecting', environments: null };
  readonly #listeners: LiveListeners;
  readonly #subscribers = new Set<() => void>();
  #source: EventSource | null = null;
  #failures = 0;
  #retryTimer: number | undefined;
  #hiddenTimer: number | undefined;
  #frame: number | undefined;
  #stopped: AbortController | null = null;

  constructor(listeners: LiveListeners) {
    this.#listeners = listeners;
  }

  /** Opens the stream. Calling it again changes nothing. */
  start(): void {
    if (this.#stopped) return;
    this.#stopped = new AbortController();
    const { signal } = this.#stopped;
    document.addEventListener('visibilitychange', () => this.#visibilityChanged(), { signal });
    window.addEventListener('online', () => this.#reconnectNow(), { signal });
    this.#connect();
  }

  /** Closes the stream; safe before {@link start} and more than once. */
  stop(): void {
    this.#stopped?.abort();
    this.#stopped = null;
    clearTimeout(this.#hiddenTimer);
    this.#disconnect();
    if (this.#frame !== undefined) cancelAnimationFrame(this.#frame);
    this.#frame = undefined;
  }

  readonly snapshot = (): LiveState => this.#state;

  readonly subscribe = (subscriber: () => void): (() => void) => {
    this.#subscribers.add(subscriber);
    return () => this.#subscribers.delete(subscriber);
  };

  #connect(): void {
    this.#disconnect();
    const source = new EventSource('/api/stream');
    this.#source = source;
    let arriving: Map<string, ApiEnvironment> | null = new Map();

    const on = (name: string, handle: (data: string) => void) =>
      source.addEventListener(name, (message: MessageEvent<string>) => handle(message.data));
    on('environment', (data) => {
      const environment: ApiEnvironment = JSON.parse(data);
      if (arriving) arriving.set(environmentKey(environment), environment);
      else this.#change((environments) => environments.set(environmentKey(environment), environment));
    });
    on('removed', (data) => {
      const key = environmentKey(JSON.parse(data));
      if (arriving) arriving.delete(key);
      else this.#change((environments) => environments.delete(key));
    });
    on('synced', () => {
      const environments = arriving ?? this.#state.environments;
      arriving = null;
      this.#failures = 0;
      this.#move('live', environments);
      this.#listeners.synced();
    });
    on('event', (data) => this.#listeners.event(JSON.parse(data)));
    // The browser's own reconnection gives up at the first answer that is no stream (a proxy's 502), so ours is used throughout.
    source.addEventListener('error', () => {
      const refused = source.readyState === EventSource.CLOSED;
      this.#reconnectLater();
      if (refused) this.#listeners.refused();
    });
  }

  #disconnect(): void {
    clearTimeout(this.#retryTimer);
    this.#source?.close();
    this.#source = null;
  }

  #reconnectLater(): void {
    this.#disconnect();
    this.#move('reconnecting', this.#state.environments);
    const longest = Math.min(lastRetryMilliseconds, firstRetryMilliseconds * 2 ** this.#failures);
    this.#failures += 1;
    this.#retryTimer = window.setTimeout(() => this.#connect(), longest * (0.5 + Math.random() / 2));
  }

  #reconnectNow(): void {
    const { connection } = this.#state;
    if (connection !== 'reconnecting' && connection !== 'paused') return;
    this.#move('reconnecting', this.#state.environments);
    this.#connect();
  }

  #visibilityChanged(): void {
    clearTimeout(this.#hiddenTimer);
    if (!document.hidden) {
      this.#reconnectNow();
      return;
    }
    this.#hiddenTimer = window.setTimeout(() => {
      this.#disconnect();
      this.#move('paused', this.#state.environments);
    }, hiddenMilliseconds);
  }

  #change(change: (environments: Map<string, ApiEnvironment>) => void): void {
    const environments = new Map(this.#state.environments ?? []);
    change(environments);
    this.#move(this.#state.connection, environments);
  }

  #move(connection: Connection, environments: LiveState['environments']): void {
    this.#state = { connection, environments };
    // A restart of the control plane changes everything at once; the page is drawn once a frame, not once a change.
    if (document.hidden) this.#tell();
    else this.#frame ??= requestAnimationFrame(() => this.#tell());
  }

  #tell(): void {
    if (this.#frame !== undefined) cancelAnimationFrame(this.#frame);
    this.#frame = undefined;
    for (const subscriber of this.#subscribers) subscriber();
  }
}
