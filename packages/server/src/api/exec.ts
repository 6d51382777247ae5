import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import { SlipwayError } from '@slipway/app';
import { identify, requireRole, type Identity } from '../access/tokens.ts';
import type { Context } from '../context.ts';
import { findEnvironment } from './find.ts';
import { problemOf } from './http.ts';

const path = /^\/api\/apps\/([^/]+)\/environments\/([^/]+)\/exec$/;
const tokenProtocol = 'slipway.token.';

/**
 * `slipway exec`: a WebSocket that carries a command's streams. Client: binary frames are stdin, an empty one ends it. Server: binary frames whose first byte
 * is 1 (stdout) or 2 (stderr), then one text frame `{"exitCode": n}` or `{"error": Problem}`. The token comes as bearer, cookie, or
 * subprotocol `slipway.token.TOKEN`, because browsers' and Node's own client can't send headers.
 */
export class ExecSockets {
  readonly #context: Context;
  readonly #server = new WebSocketServer({
    noServer: true,
    maxPayload: 1024 * 1024,
    handleProtocols: (protocols) => [...protocols].find((protocol) => protocol.startsWith(tokenProtocol)) ?? false,
  });

  constructor(context: Context) {
    this.#context = context;
  }

  /** Handles an upgrade request, or refuses it with a status. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Node listens to it no more: a client that resets its connection meanwhile would end the process.
    socket.on('error', () => socket.destroy());
    const url = URL.parse(request.url ?? '/', 'http://slipway');
    const match = url && path.exec(url.pathname);
    if (!match) {
      refuse(socket, '404 Not Found');
      return;
    }
    identify(this.#context.pool, tokenOf(request)).then(
      (identity) => {
        if (!identity) {
          refuse(socket, '401 Unauthorized');
          return;
        }
        this.#server.handleUpgrade(request, socket, head, (client) => {
          // What it sends before the command runs is kept for it.
          client.pause();
          const gone = new AbortController();
          client.on('close', () => gone.abort());
          client.on('error', () => gone.abort());
          this.#answer(client, identity, { app: match[1] ?? '', environment: match[2] ?? '', url }, gone.signal).then(
            (exitCode) => finish(client, { exitCode }),
            (error: unknown) => {
              // Nobody is left to be told.
              if (!gone.signal.aborted) finish(client, { error: problemOf(error, this.#context.log) });
            },
          );
        });
      },
      () => refuse(socket, '503 Service Unavailable'),
    );
  }

  stop(): void {
    for (const client of this.#server.clients) client.terminate();
    this.#server.close();
  }

  /** Runs the command that the address asks for. @param gone aborts when the client has gone. @returns its exit code. */
  async #answer(
    client: WebSocket,
    identity: Identity,
    asked: { app: string; environment: string; url: URL },
    gone: AbortSignal,
  ): Promise<number> {
    requireRole(identity, 'deployer', 'exec');
    const environment = await findEnvironment(this.#context, decoded(asked.app), decoded(asked.environment));
    const command = asked.url.searchParams.getAll('command');
    if (command.length === 0)
      throw new SlipwayError('mistake', 'No command was given.', { hint: 'slipway exec APP/ENV -- COMMAND' });
    const request = {
      environment: `${environment.app}/${environment.name}`,
      source: asked.url.searchParams.get('source'),
      command,
    };
    gone.throwIfAborted();
    const send = (stream: 1 | 2) => (chunk: Uint8Array) => client.send(Buffer.concat([Buffer.from([stream]), chunk]));
    const { exitCode } = await this.#context.engines.of(environment).engine.exec(request, {
      stdin: frames(client, gone),
      stdout: send(1),
      stderr: send(2),
      signal: gone,
    });
    return exitCode;
  }
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new SlipwayError('mistake', `"${part}" is no part of an address.`, { hint: 'Encode it as in a URL.' });
  }
}

function tokenOf(request: IncomingMessage): string | null {
  const bearer = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
  const protocol = (request.headers['sec-websocket-protocol'] ?? '')
    .split(',')
    .map((one) => one.trim())
    .find((one) => one.startsWith(tokenProtocol));
  const cookie = /(?:^|;\s*)slipway_session=([^;]+)/.exec(request.headers.cookie ?? '')?.[1];
  // A cookie is sent by any page's WebSocket; only our own pages may use it.
  const sameOrigin = URL.parse(request.headers.origin ?? '')?.host === request.headers.host;
  return bearer ?? protocol?.slice(tokenProtocol.length) ?? (sameOrigin ? (cookie ?? null) : null);
}

async function* frames(client: WebSocket, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const chunks: Buffer[] = [];
  let ended: 'yes' | 'no' = 'no';
  let wake: (() => void) | null = null;
  client.on('message', (data: Buffer, isBinary) => {
    if (!isBinary) return;
    if (data.length === 0) ended = 'yes';
    else chunks.push(data);
    // One frame at a time is read from the socket, so that a slow command does not fill the memory.
    if (chunks.length > 16) client.pause();
    wake?.();
  });
  client.resume();
  signal.addEventListener('abort', () => wake?.());
  for (;;) {
    const chunk = chunks.shift();
    if (chunk) {
      if (chunks.length === 0) client.resume();
      yield chunk;
    } else if (signal.aborted || (ended as string) === 'yes') return;
    else
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  }
}

function finish(client: WebSocket, message: object): void {
  // Its answer to the close must be heard, also when no command was ever run.
  client.resume();
  if (client.readyState !== client.OPEN) return;
  client.send(JSON.stringify(message), () => client.close(1000));
}

function refuse(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
