import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { http2Stream, type Manner } from './manner.ts';
import type { ReplyHead } from './reply-reader.ts';
import { passOnReplyFields } from './request-head.ts';

/** Fields of a 101 that HTTP/2 does not know (RFC 8441, 5.1). */
const NOT_IN_HTTP2 = new Set(['connection', 'upgrade', 'sec-websocket-accept']);

/** Tells the client that the backend switched protocols; returns the raw stream to the client. */
export function acceptTunnel(
  request: IncomingMessage,
  response: ServerResponse,
  manner: Manner,
  head: ReplyHead,
): Duplex {
  const stream = http2Stream(response);
  if (manner === 'http2-connect' && stream !== null) {
    const fields: Record<string, string> = {};
    const kept = passOnReplyFields(head.fields, []);
    for (let i = 0; i < kept.length; i += 2) {
      const name = (kept[i] ?? '').toLowerCase();
      if (!NOT_IN_HTTP2.has(name)) fields[name] = kept[i + 1] ?? '';
    }
    response.writeHead(200, fields);
    response.flushHeaders();
    return stream;
  }
  let lines = 'HTTP/1.1 101 Switching Protocols\r\n';
  for (let i = 0; i < head.fields.length; i += 2) lines += `${head.fields[i] ?? ''}: ${head.fields[i + 1] ?? ''}\r\n`;
  const { socket } = request;
  response.detachSocket(socket);
  // `Front` watched for a client that leaves; from here on the tunnel reads.
  socket.removeAllListeners('readable');
  socket.write(`${lines}\r\n`, 'latin1');
  return socket;
}

/** Passes bytes both ways with back-pressure until both sides have closed. No timeout: an idle tunnel may stay as long as both want. */
export function join(client: Duplex, backend: Duplex, events: { traffic(): void; closed(): void }): void {
  let open = 2;
  const closed = (other: Duplex): void => {
    // A side that broke off takes the other with it; one that ended has been ended by pipe().
    other.destroy();
    open -= 1;
    if (open === 0) events.closed();
  };
  client.on('error', () => {});
  backend.on('error', () => {});
  client.on('close', () => closed(backend));
  backend.on('close', () => closed(client));
  client.on('data', () => events.traffic());
  backend.on('data', () => events.traffic());
  client.pipe(backend);
  backend.pipe(client);
}
