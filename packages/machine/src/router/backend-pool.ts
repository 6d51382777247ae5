import { Socket } from 'node:net';
import { BadReply, ReplyReader, type ReplyListener } from './reply-reader.ts';

/**
 * Connections to backends.
 *
 * Written on sockets instead of using an HTTP client, because it was measured with prototypes (2 cores, 64 connections, same backend, nginx = 1):
 * `node:http` with a keep-alive agent 0.37, `undici` dispatch 0.65, sockets 0.80. (`npm run bench -- router` tells what the whole
 * router reaches.) It also gives what the others don't: replies to upgrades that are no 101, 100-continue end to end, answers to uploads
 * that the backend did not read to their end, and the knowledge whether a request may be sent again. The side that faces strangers stays with Node's own parser.
 */

/** How a connection ended before its reply did. */
export type BackendFailure =
  /** Nothing was sent: the backend does not listen. */
  | 'not-connected'
  /** The connection was kept from an earlier request, and closed before any byte of this reply. */
  | 'stale'
  /** It closed in the middle. */
  | 'closed'
  /** What came was no valid reply. */
  | 'malformed';

/** What a request hears from its connection. */
export interface BackendListener extends ReplyListener {
  /** The body may be sent now. Called once, before anything else, also for a kept connection. */
  connected(): void;
  /** More of the body may be written after `write` said no. */
  drain(): void;
  failed(failure: BackendFailure, detail: string): void;
}

/** Kept connections are closed after this time without a request; most servers close theirs after 5 s. */
const IDLE_MS = 30_000;
const IDLE_LIMIT = 256;
/**
 * A request that must not be sent twice only goes over a connection that was in use less than this ago. Servers that close idle
 * connections do so after 2 s or more, so it never meets one that is being closed.
 */
const FRESH_MS = 1_000;

export class BackendPool {
  readonly id: string;
  readonly port: number;
  /** Requests and tunnels that this backend has not finished. */
  inFlight = 0;
  #retired = false;
  readonly #idle: BackendConnection[] = [];
  readonly #whenDrained = new Set<() => void>();
  readonly #sweeper: IdleSweeper;

  constructor(id: string, port: number, sweeper: IdleSweeper) {
    this.id = id;
    this.port = port;
    this.#sweeper = sweeper;
  }

  /** A connection for one request. `repeatable`: the request may be sent again when the connection turns out to be stale. */
  take(freshness: 'any' | 'new', repeatable: boolean): BackendConnection {
    this.inFlight += 1;
    if (freshness === 'any') {
      const now = Date.now();
      const kept = this.#idle.at(-1);
      // The newest connection is last: if it is too old for this request, all are.
      if (kept !== undefined && now < kept.reuseUntil && (repeatable || now - kept.idleSince < FRESH_MS)) {
        this.#idle.pop();
        return kept;
      }
    }
    return new BackendConnection(this);
  }

  /** Gives a connection back after its reply has ended. */
  release(connection: BackendConnection, reuse: 'keep' | 'close'): void {
    if (reuse === 'keep' && !this.#retired && this.#idle.length < IDLE_LIMIT) {
      connection.idleSince = Date.now();
      connection.reuseUntil = connection.idleSince + connection.keepAliveMs;
      this.#idle.push(connection);
      this.#sweeper.watch(this);
    } else connection.destroy();
    this.finished();
  }

  /** One request less; its connection is gone. */
  finished(): void {
    this.inFlight -= 1;
    if (this.inFlight > 0) return;
    for (const resolve of this.#whenDrained) resolve();
    this.#whenDrained.clear();
  }

  forget(connection: BackendConnection): void {
    const at = this.#idle.lastIndexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  get retired(): boolean {
    return this.#retired;
  }

  /** The backend gets no new requests: idle connections close now, the others when their request is done. */
  retire(): void {
    this.#retired = true;
    for (const connection of this.#idle.splice(0)) connection.destroy();
  }

  /** The backend is in a table again. */
  restore(): void {
    this.#retired = false;
  }

  /** Resolves when nothing is in flight. */
  drained(signal: AbortSignal): Promise<void> {
    if (this.inFlight === 0 || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        signal.removeEventListener('abort', done);
        this.#whenDrained.delete(done);
        resolve();
      };
      this.#whenDrained.add(done);
      signal.addEventListener('abort', done, { once: true });
    });
  }

  /** Closes what was idle for too long; says whether any idle connection is left. */
  sweep(now: number): boolean {
    while (this.#idle[0] !== undefined && now - this.#idle[0].idleSince >= IDLE_MS) this.#idle.shift()?.destroy();
    return this.#idle.length > 0;
  }
}

/** Closes idle connections of all pools with one timer, which only runs while there are any. */
export class IdleSweeper {
  readonly #pools = new Set<BackendPool>();
  #timer: NodeJS.Timeout | null = null;

  watch(pool: BackendPool): void {
    this.#pools.add(pool);
    this.#timer ??= setInterval(() => this.#sweep(), IDLE_MS / 2).unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#pools.clear();
  }

  #sweep(): void {
    const now = Date.now();
    for (const pool of this.#pools) if (!pool.sweep(now)) this.#pools.delete(pool);
    if (this.#pools.size === 0) this.stop();
  }
}

/**
 * One connection to a backend; carries one request at a time.
 *
 * | state | leaves by |
 * | --- | --- |
 * | connecting | connect: busy; error: gone, `failed('not-connected')` |
 * | busy       | reply ended and reusable: idle; tunnel: handed over; anything wrong: gone |
 * | idle       | next request: busy; closed by either side: gone |
 */
export class BackendConnection {
  readonly pool: BackendPool;
  readonly socket: Socket;
  idleSince = 0;
  reuseUntil = 0;
  #connected = false;
  #used = false;
  #destroyed = false;
  #listener: BackendListener | null = null;
  readonly #reader = new ReplyReader();

  constructor(pool: BackendPool) {
    this.pool = pool;
    this.socket = new BackendSocket();
    this.socket.connect({ host: '127.0.0.1', port: pool.port });
    this.socket.on('connect', () => {
      this.#connected = true;
      this.socket.setNoDelay(true);
      this.#listener?.connected();
    });
    this.socket.on('data', this.#onData);
    this.socket.on('drain', () => this.#listener?.drain());
    this.socket.on('end', () => this.#closed('it closed the connection'));
    this.socket.on('error', (error: NodeJS.ErrnoException) => this.#closed(error.code ?? error.message));
    this.socket.on('close', () => this.#closed('it closed the connection'));
  }

  get reusable(): boolean {
    return this.#reader.reusable;
  }

  /** How long it may idle and still be used: less than the backend said (`Keep-Alive: timeout=`), because closing takes a moment to be seen. */
  get keepAliveMs(): number {
    const seconds = this.#reader.keepAliveSeconds;
    return seconds === null ? IDLE_MS : Math.max(0, seconds * 1000 - 1000);
  }

  /** Sends the head of a request and gives what comes back to the listener. */
  begin(listener: BackendListener, head: string, method: string, upgrading: boolean): void {
    this.#listener = listener;
    this.#reader.expect(listener, method, upgrading);
    this.socket.write(head, 'latin1');
    if (this.#connected) listener.connected();
  }

  /** Sends a piece of the body; false: wait for `drain`. */
  write(chunk: Buffer | string): boolean {
    if (this.#destroyed) return true;
    return typeof chunk === 'string' ? this.socket.write(chunk, 'latin1') : this.socket.write(chunk);
  }

  /** The request has what it wanted: the connection may serve another one, or closes. */
  release(reuse: 'keep' | 'close'): void {
    this.#listener = null;
    this.#used = true;
    // The last client may have been slow to read; the next one must not wait for it.
    if (this.socket.isPaused()) this.socket.resume();
    this.pool.release(this, reuse);
  }

  /** Takes the raw socket away, after `switched`. The pool counts it as in flight until `pool.finished()`. */
  detach(): Socket {
    this.#listener = null;
    this.#destroyed = true;
    this.socket
      .removeAllListeners('data')
      .removeAllListeners('drain')
      .removeAllListeners('end')
      .removeAllListeners('close');
    return this.socket;
  }

  /** The client went away, or the reply is of no use: closes without a word to the listener. */
  abort(): void {
    this.#listener = null;
    this.destroy();
    this.pool.finished();
  }

  destroy(): void {
    this.#destroyed = true;
    this.socket.destroy();
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#destroyed) return;
    try {
      this.#reader.read(chunk);
    } catch (error) {
      if (!(error instanceof BadReply)) throw error;
      this.#fail('malformed', error.message);
    }
  };

  #closed(detail: string): void {
    if (this.#destroyed) return;
    if (this.#reader.closed()) return;
    if (!this.#connected) this.#fail('not-connected', detail);
    else this.#fail(this.#used && !this.#reader.begun ? 'stale' : 'closed', detail);
  }

  #fail(failure: BackendFailure, detail: string): void {
    const listener = this.#listener;
    this.#listener = null;
    this.destroy();
    if (listener === null) {
      this.pool.forget(this);
      return;
    }
    this.pool.finished();
    listener.failed(failure, detail);
  }
}

type Written = (error?: Error | null) => void;

/**
 * A socket that goes on reading when writing fails.
 *
 * A backend may answer an upload early (413, 401) and close. Node would destroy the socket at the next write and throw the answer away,
 * which has arrived by then. A broken connection is noticed by reading anyway.
 */
class BackendSocket extends Socket {
  override _write(chunk: unknown, encoding: BufferEncoding, written: Written): void {
    super._write(chunk, encoding, () => written());
  }

  override _writev(chunks: { chunk: unknown; encoding: BufferEncoding }[], written: Written): void {
    super._writev?.(chunks, () => written());
  }
}
