import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server as HttpServer,
  ServerResponse,
} from 'node:http';
import {
  createServer as createHttp2Server,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from 'node:http2';
import { createServer as createNetServer, type Server as NetServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { asHttp1, type Manner } from './manner.ts';

/**
 * The side that faces clients: listening sockets, HTTP/1.1 and HTTP/2 with prior knowledge on the same port, limits.
 *
 * Node's own parsers stand here, because this side reads what strangers send. Headers must arrive in time and be of sane size
 * (slow-header attacks); bodies, replies and tunnels may take as long as they want.
 */
export interface FrontEvents {
  /** `service`: what the port leads to; null on the public port. */
  request(request: IncomingMessage, response: ServerResponse, manner: Manner, entry: Entry | null): void;
}

/** Where an internal port leads. */
export interface Entry {
  environment: string;
  service: string;
}

const HEADER_BYTES = 32 * 1024;
/** Idle client connections; longer than load balancers in front keep theirs. */
const KEEP_ALIVE_MS = 75_000;
const STREAMS_PER_SESSION = 256;
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
/** Bytes an upgrading client may send before it was answered. */
const EARLY_BYTES = 64 * 1024;

type EntrySocket = Socket & { slipwayEntry?: Entry };

export class Front {
  readonly #events: FrontEvents;
  readonly #headersMs: number;
  readonly #http1: HttpServer;
  readonly #http2: Http2Server;
  readonly #sockets = new Set<Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();
  #stopping = false;

  /** @param headersMs How long a client may take to send the headers of a request. */
  constructor(events: FrontEvents, headersMs: number) {
    this.#events = events;
    this.#headersMs = headersMs;
    this.#http1 = this.#createHttp1();
    this.#http2 = this.#createHttp2();
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** Opens a port; 0 takes a free one. @returns The listening server. @throws What `listen` says, e.g. EADDRINUSE. */
  async listen(host: string, port: number, entry: Entry | null): Promise<NetServer> {
    // Half-open, as node:http wants it: a client may end its side after the request.
    const server = createNetServer({
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
    });
    server.on('connection', (socket: EntrySocket) => {
      if (entry !== null) socket.slipwayEntry = entry;
      this.#accept(socket);
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, 1024, () => {
        server.off('error', reject);
        resolve();
      });
    });
    return server;
  }

  /** Closes idle connections; the others close after their request. */
  beginStop(): void {
    this.#stopping = true;
    this.#http1.closeIdleConnections();
    // Nothing was asked on these yet, so no parser knows them.
    for (const socket of this.#sockets) if (socket.bytesRead === 0) socket.destroy();
    for (const session of this.#sessions) session.close();
  }

  /** Resolves when no connection is left, or after `graceMs`, when the rest is cut off. */
  async finishStop(graceMs: number): Promise<void> {
    const deadline = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, graceMs);
    // A connection whose last reply had begun before the stop stays open for a next request: it is closed once it is idle.
    const idle = setInterval(() => this.#http1.closeIdleConnections(), 50);
    await Promise.all(
      [...this.#sockets].map((socket) => new Promise<void>((resolve) => socket.once('close', () => resolve()))),
    );
    clearTimeout(deadline);
    clearInterval(idle);
    // Stops its connection-checking timer.
    this.#http1.close();
    this.#http2.close();
  }

  /** Decides by the first bytes which protocol a connection speaks. */
  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    const giveUp = (): void => {
      socket.destroy();
    };
    socket.on('error', giveUp);
    socket.setTimeout(this.#headersMs, giveUp);
    let first: Buffer | null = null;
    const sniff = (chunk: Buffer): void => {
      first = first === null ? chunk : Buffer.concat([first, chunk]);
      const begin = first.toString('latin1', 0, PREFACE.length);
      if (begin.length < PREFACE.length && PREFACE.startsWith(begin)) return;
      socket.off('data', sniff);
      socket.off('error', giveUp);
      socket.off('end', giveUp);
      socket.setTimeout(0);
      socket.off('timeout', giveUp);
      socket.pause();
      socket.unshift(first);
      if (begin === PREFACE) this.#http2.emit('connection', socket);
      else {
        this.#http1.emit('connection', socket);
        socket.resume();
      }
    };
    socket.on('data', sniff);
    socket.on('end', giveUp);
  }

  #createHttp1(): HttpServer {
    const server = createHttpServer({
      maxHeaderSize: HEADER_BYTES,
      headersTimeout: this.#headersMs,
      // Bodies may take as long as they want.
      requestTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: this.#headersMs / 2,
      noDelay: true,
      // Said by readRequestHead, with an explanation.
      requireHostHeader: false,
      // Anything else, e.g. h2c of `curl --http2`, is served as a plain request.
      shouldUpgradeCallback: (request: IncomingMessage) =>
        !/^h2c?(?:,|$)/i.test(request.headers.upgrade ?? '') &&
        request.headers['content-length'] === undefined &&
        request.headers['transfer-encoding'] === undefined,
    });
    // Node drops what is more, unseen; readRequestHead refuses it.
    server.maxHeadersCount = 0;
    // It never listens itself, but it begins to watch for slow headers at this event.
    server.emit('listening');
    const plain = (request: IncomingMessage, response: ServerResponse): void => {
      if (this.#stopping) response.shouldKeepAlive = false;
      this.#events.request(request, response, 'http1', entryOf(request.socket));
    };
    server.on('request', plain);
    server.on('checkContinue', plain);
    server.on('upgrade', (request: IncomingMessage, _socket: Duplex, head: Buffer) => this.#upgrade(request, head));
    server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
      socket.on('error', () => {});
      socket.end(
        'HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
      );
    });
    return server;
  }

  /** An upgrade gets an ordinary response on its socket, so that it can be held and refused like any request. */
  #upgrade(request: IncomingMessage, head: Buffer): void {
    const { socket } = request;
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket);
    response.on('finish', () => socket.end());
    socket.on('error', () => {});
    // Reading is the only way to notice that the client leaves. What it says too early is put back for the tunnel.
    if (head.length > 0) socket.unshift(head);
    const early = (): void => {
      if (socket.readableLength === 0) socket.read();
      else if (socket.readableLength > EARLY_BYTES) socket.off('readable', early);
    };
    socket.on('readable', early);
    socket.on('end', () => {
      if (response.socket !== null && !response.writableEnded) socket.destroy();
    });
    this.#events.request(request, response, 'http1-upgrade', entryOf(socket));
  }

  #createHttp2(): Http2Server {
    const server = createHttp2Server({
      settings: {
        enableConnectProtocol: true,
        maxConcurrentStreams: STREAMS_PER_SESSION,
        maxHeaderListSize: HEADER_BYTES,
      },
    });
    server.on('session', (session) => {
      let open = 0;
      this.#sessions.add(session);
      session.on('close', () => this.#sessions.delete(session));
      session.on('error', () => {});
      session.on('stream', (stream) => {
        open += 1;
        stream.on('close', () => (open -= 1));
        stream.on('error', () => {});
      });
      session.setTimeout(KEEP_ALIVE_MS, () => {
        if (open === 0) session.close();
      });
    });
    const serve = (http2Request: Http2ServerRequest, http2Response: Http2ServerResponse, manner: Manner): void => {
      const [request, response] = asHttp1(http2Request, http2Response);
      request.on('error', () => {});
      this.#events.request(request, response, manner, entryOf(request.socket));
    };
    server.on('request', (request, response) => serve(request, response, 'http2'));
    server.on('checkContinue', (request, response) => serve(request, response, 'http2'));
    server.on('connect', (request: Http2ServerRequest, response: Http2ServerResponse) => {
      if (request.headers[':protocol'] === 'websocket') serve(request, response, 'http2-connect');
      else {
        response.statusCode = 405;
        response.end();
      }
    });
    return server;
  }
}

function entryOf(socket: EntrySocket): Entry | null {
  return socket.slipwayEntry ?? null;
}
