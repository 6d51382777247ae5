import type { IncomingMessage, ServerResponse } from 'node:http';
import { constants } from 'node:http2';
import type { Duplex } from 'node:stream';
import { type Answer, badGateway, noRoute, sendAnswer } from './answers.ts';
import type { BackendConnection, BackendFailure, BackendListener, BackendPool } from './backend-pool.ts';
import type { Environment, Held } from './environment.ts';
import { http2Stream, isHttp2, type Manner } from './manner.ts';
import type { ReplyHead } from './reply-reader.ts';
import { passOnReplyFields, type RequestHead, trailerLines } from './request-head.ts';
import { acceptTunnel, join } from './tunnel.ts';

/**
 * One request from its arrival to the end of its reply, also an upgrade, which becomes a tunnel.
 *
 * | state | meaning | leaves by |
 * | --- | --- | --- |
 * | held     | no backend is ready, or the environment wakes; nothing of the body is read | new table: sent; time is up or waking failed: done (503) |
 * | sent     | a backend has the request, or is being connected to | reply's head: replying; 101: tunnel; failed and safe to repeat: sent or held; failed: done (502) |
 * | replying | the head went to the client, the body streams | end: done; backend breaks off: done (client is cut off) |
 * | tunnel   | bytes of another protocol go both ways | both sides closed: done |
 * | done     | counted out | |
 *
 * A client that goes away ends every state; its backend connection is closed.
 */
type State = 'held' | 'sent' | 'replying' | 'tunnel' | 'done';

export interface ExchangeOptions {
  holdSeconds: number;
  /** Asks for the environment to be woken; concurrent calls are one. */
  wake(environment: Environment): void;
  /** The exchange is over, in whatever way. */
  finished(): void;
  now(): number;
}

/** Methods that may be sent twice: RFC 9110, 9.2.2. */
const IDEMPOTENT = new Set([
  'GET',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'PUT',
  'DELETE',
  'PROPFIND',
  'REPORT',
  'SEARCH',
  'QUERY',
]);
/** A body up to this size is remembered until the reply begins, so that an idempotent request can be repeated. */
const REPLAY_BYTES = 64 * 1024;
/** When no ready backend can be connected to, the supervisor is about to say so: this long a new table is waited for. */
const STALE_TABLE_MS = 1_000;

/**
 * The end of a body up to this size is given to Node as text: it joins text with the head into one write, which was measured to cost less than
 * a gathering write of the two.
 */
const JOINED_BYTES = 4 * 1024;

export class Exchange implements BackendListener, Held {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #head: RequestHead;
  readonly #manner: Manner;
  readonly #environment: Environment;
  /** Name of the service whose internal port it came by; null: by path. */
  readonly #service: string | null;
  readonly #options: ExchangeOptions;

  #state: State = 'held';
  #holdTimer: NodeJS.Timeout | null = null;
  #heldSince: number | null = null;
  #pool: BackendPool | null = null;
  #connection: BackendConnection | null = null;
  /** Backends that could not be connected to since the last table. */
  #tried: Set<BackendPool> | null = null;
  #lastDetail = '';
  #repeated = false;
  #body: 'unread' | 'reading' | 'sent';
  #replay: (Buffer | string)[] = [];
  #replayBytes = 0;
  /** Set while it is a tunnel. */
  #cutTunnel: (() => void) | null = null;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    head: RequestHead,
    manner: Manner,
    environment: Environment,
    service: string | null,
    options: ExchangeOptions,
  ) {
    this.#request = request;
    this.#response = response;
    this.#head = head;
    this.#manner = manner;
    this.#environment = environment;
    this.#service = service;
    this.#options = options;
    this.#body = head.body === 'none' ? 'sent' : 'unread';
  }

  /** Begins: counts it in and looks for a backend. */
  begin(): void {
    this.#environment.inFlight += 1;
    this.#environment.lastRequestAt = this.#options.now();
    this.#response.on('close', this.#clientClosed);
    this.#route('any');
  }

  /** The router stops: what waits is answered, what is being served goes on. */
  routerStops(): void {
    if (this.#state === 'held') this.giveUp('The router is being restarted. Try again in a moment.');
  }

  /** The router's grace is over. */
  cutOff(): void {
    if (this.#state === 'done') return;
    this.#connection?.abort();
    this.#connection = null;
    if (this.#cutTunnel !== null) return this.#cutTunnel();
    this.#finish();
    this.#resetClient();
  }

  // ---- finding a backend

  #route(freshness: 'any' | 'new'): void {
    const choice = this.#environment.choose(this.#head.target, this.#service, this.#tried);
    if (choice === 'no-route') return this.#answer(noRoute());
    if (choice === 'wake') {
      this.#hold(null);
      return this.#options.wake(this.#environment);
    }
    if (choice === 'hold') {
      if (this.#tried !== null) return this.#hold(STALE_TABLE_MS);
      return this.#hold(
        this.#options.holdSeconds * 1000 - (this.#heldSince === null ? 0 : this.#options.now() - this.#heldSince),
      );
    }
    this.#send(choice, freshness);
  }

  #hold(milliseconds: number | null): void {
    this.#state = 'held';
    this.#environment.held.add(this);
    if (milliseconds === null) return;
    if (this.#tried === null) this.#heldSince ??= this.#options.now();
    this.#holdTimer = setTimeout(() => this.#holdIsOver(), Math.max(0, milliseconds));
  }

  #unhold(): void {
    this.#environment.held.delete(this);
    if (this.#holdTimer !== null) clearTimeout(this.#holdTimer);
    this.#holdTimer = null;
  }

  tableChanged(): void {
    this.#unhold();
    this.#tried = null;
    this.#route('any');
  }

  giveUp(sentence: string): void {
    this.#unhold();
    this.#answer({ status: 503, title: 'Not available right now', sentences: [sentence], retryAfterSeconds: 5 });
  }

  #holdIsOver(): void {
    if (this.#tried !== null) {
      this.#unhold();
      return this.#answer(badGateway('closed', this.#lastDetail));
    }
    const table = this.#environment.table;
    this.giveUp(
      table?.explanation ??
        `No instance became ready within ${this.#options.holdSeconds} seconds. "slipway status" and "slipway why" on the machine tell the reason; the request can be tried again.`,
    );
  }

  // ---- sending the request

  #send(pool: BackendPool, freshness: 'any' | 'new'): void {
    this.#state = 'sent';
    this.#pool = pool;
    const connection = pool.take(freshness, IDEMPOTENT.has(this.#head.method) && this.#head.body === 'none');
    this.#connection = connection;
    connection.begin(this, this.#head.text, this.#head.method, this.#head.upgrade !== null);
  }

  connected(): void {
    if (this.#body === 'sent' && this.#replay.length === 0) return;
    for (const piece of this.#replay) this.#connection?.write(piece);
    if (this.#body === 'unread') {
      this.#body = 'reading';
      this.#request.on('data', this.#bodyData);
      this.#request.on('end', this.#bodyEnd);
      // Its cause is the client going away, which `close` of the response tells.
      this.#request.on('error', () => {});
    } else if (this.#body === 'reading') this.#request.resume();
  }

  drain(): void {
    if (this.#body === 'reading') this.#request.resume();
  }

  readonly #bodyData = (chunk: Buffer): void => {
    // After the reply the rest of an upload is read and dropped, so that the client's next request is understood.
    if (this.#connection === null && this.#state !== 'held') return;
    let flows = true;
    if (this.#head.body === 'chunked') {
      this.#writeBody(`${chunk.length.toString(16)}\r\n`);
      this.#writeBody(chunk);
      flows = this.#writeBody('\r\n');
    } else flows = this.#writeBody(chunk);
    if (!flows) this.#request.pause();
  };

  readonly #bodyEnd = (): void => {
    if (this.#head.body === 'chunked') this.#writeBody(`0\r\n${trailerLines(this.#request.rawTrailers)}\r\n`);
    this.#body = 'sent';
  };

  #writeBody(piece: Buffer | string): boolean {
    this.#replayBytes += piece.length;
    if (this.#state === 'replying' || this.#replayBytes > REPLAY_BYTES || !IDEMPOTENT.has(this.#head.method))
      this.#replay = [];
    else this.#replay.push(piece);
    if (this.#connection === null) return false;
    return this.#connection.write(piece);
  }

  // ---- the reply

  informational(status: number): void {
    if (status === 100 && this.#head.expects === 'continue' && this.#state === 'sent') this.#response.writeContinue();
  }

  head(head: ReplyHead): void {
    this.#state = 'replying';
    this.#replay = [];
    const fields = passOnReplyFields(head.fields, head.connection);
    if (isHttp2(this.#manner)) {
      this.#response.writeHead(head.status, asObject(fields));
      return;
    }
    // A client that was not told to send its body may send it or not: what follows on its connection can't be told apart.
    if (this.#head.expects === 'continue' && this.#body !== 'sent') fields.push('Connection', 'close');
    this.#response.writeHead(head.status, head.reason, fields);
  }

  headAlone(): void {
    if (this.#state === 'replying') this.#response.flushHeaders();
  }

  data(chunk: Buffer): void {
    if (this.#state !== 'replying' || this.#response.write(chunk)) return;
    const socket = this.#connection?.socket;
    socket?.pause();
    this.#response.once('drain', () => socket?.resume());
  }

  end(last: Buffer | null, trailers: string[]): void {
    if (this.#state !== 'replying') return;
    if (trailers.length > 0) this.#response.addTrailers(asObject(passOnReplyFields(trailers, [])));
    if (last === null) this.#response.end();
    else if (last.length <= JOINED_BYTES && !isHttp2(this.#manner))
      this.#response.end(last.toString('latin1'), 'latin1');
    else this.#response.end(last);
    const connection = this.#connection;
    this.#connection = null;
    connection?.release(connection.reusable && this.#body === 'sent' ? 'keep' : 'close');
    this.#dropRestOfBody();
    this.#finish();
  }

  switched(head: ReplyHead, rest: Buffer): void {
    const connection = this.#connection;
    const pool = this.#pool;
    if (connection === null || pool === null) return;
    this.#state = 'tunnel';
    this.#connection = null;
    this.#response.removeListener('close', this.#clientClosed);
    const backend = connection.detach();
    const client: Duplex = acceptTunnel(this.#request, this.#response, this.#manner, head);
    if (rest.length > 0) client.write(rest);
    const environment = this.#environment;
    this.#cutTunnel = (): void => {
      client.destroy();
      backend.destroy();
    };
    join(client, backend, {
      traffic: () => {
        environment.lastRequestAt = this.#options.now();
      },
      closed: () => {
        pool.finished();
        this.#finish();
      },
    });
  }

  // ---- what goes wrong

  failed(failure: BackendFailure, detail: string): void {
    this.#connection = null;
    this.#lastDetail = detail;
    if (this.#state === 'replying') {
      // Half a reply can't be taken back; cutting the client off is the only way to say that it is not whole.
      this.#finish();
      this.#resetClient();
      return;
    }
    if (failure === 'not-connected' && this.#pool !== null) {
      this.#tried ??= new Set();
      this.#tried.add(this.#pool);
      this.#request.pause();
      return this.#route('any');
    }
    if (failure === 'stale' && !this.#repeated && this.#mayRepeat()) {
      this.#repeated = true;
      this.#request.pause();
      return this.#route('new');
    }
    this.#answer(badGateway(failure, detail));
  }

  /** Nothing of the body left yet, or the method may be repeated and all that was sent is remembered. */
  #mayRepeat(): boolean {
    if (this.#replayBytes === 0 && this.#head.body !== 'none') return true;
    return IDEMPOTENT.has(this.#head.method) && this.#replayBytes <= REPLAY_BYTES;
  }

  readonly #clientClosed = (): void => {
    if (this.#state === 'done') return;
    this.#unhold();
    this.#connection?.abort();
    this.#connection = null;
    this.#finish();
  };

  #resetClient(): void {
    const stream = http2Stream(this.#response);
    // The session and its other streams live on.
    if (stream === null) this.#response.destroy();
    else stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  #answer(answer: Answer): void {
    if (this.#head.expects === 'continue' && this.#body !== 'sent') answer.connection = 'close';
    sendAnswer(this.#response, answer, this.#head.reads, isHttp2(this.#manner));
    this.#dropRestOfBody();
    this.#finish();
  }

  #dropRestOfBody(): void {
    if (this.#body !== 'sent') this.#request.resume();
  }

  #finish(): void {
    if (this.#state === 'done') return;
    this.#state = 'done';
    this.#environment.inFlight -= 1;
    this.#environment.lastRequestAt = this.#options.now();
    this.#replay = [];
    this.#options.finished();
  }
}

/** Node's HTTP/2 responses would keep only the last of several fields of one name. */
function asObject(fields: readonly string[]): Record<string, string | string[]> {
  const object: Record<string, string | string[]> = {};
  for (let i = 0; i < fields.length; i += 2) {
    const name = (fields[i] ?? '').toLowerCase();
    const value = fields[i + 1] ?? '';
    const before = object[name];
    object[name] = before === undefined ? value : Array.isArray(before) ? [...before, value] : [before, value];
  }
  return object;
}
