import { Agent, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

/** Where a request goes. */
export interface Backend {
  host: string;
  port: number;
}

const connections = new Agent({ keepAlive: true, timeout: 4_000 });
/** Of one connection, and none of the other's business. https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1 */
const HOP_BY_HOP = ['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'];

/** Passes one request on and its answer back. */
export function forward(request: IncomingMessage, response: ServerResponse, backend: Backend): void {
  const upstream = httpRequest({
    ...backend,
    method: request.method,
    path: request.url,
    headers: endToEnd(request),
    setHost: false,
    agent: connections,
  });
  upstream.on('response', (answer) => {
    // What is left of the body nobody reads, but the next request on this connection comes after it.
    request.unpipe(upstream);
    if (!request.complete) request.resume();
    response.writeHead(answer.statusCode ?? 502, answer.statusMessage, endToEnd(answer));
    answer.pipe(response);
    answer.on('error', () => response.destroy());
  });
  upstream.on('error', () => {
    if (response.headersSent) return void response.destroy();
    request.resume();
    response.writeHead(502, { 'content-type': 'text/plain; charset=utf-8' });
    response.end('The app did not answer. "slipway logs" shows what it wrote.\n');
  });
  response.on('close', () => upstream.destroy());
  request.pipe(upstream);
}

/** Joins two connections after the app has agreed to another protocol. */
export function forwardUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, backend: Backend): void {
  const upstream = httpRequest({
    ...backend,
    method: request.method,
    path: request.url,
    headers: { ...endToEnd(request), connection: 'Upgrade', upgrade: request.headers.upgrade ?? '' },
    setHost: false,
    agent: false,
  });
  upstream.on('upgrade', (answer, other: Duplex, early: Buffer) => {
    const lines = answer.rawHeaders.reduce<string[]>(
      (all, text, index, raw) => (index % 2 === 0 ? [...all, `${text}: ${raw[index + 1] ?? ''}`] : all),
      [],
    );
    socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\n\r\n`);
    socket.write(early);
    other.write(head);
    other.pipe(socket).pipe(other);
    for (const [one, peer] of [
      [socket, other],
      [other, socket],
    ] as const) {
      one.on('error', () => peer.destroy());
      one.on('close', () => peer.destroy());
    }
  });
  upstream.on('response', (answer) => {
    socket.end(`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage ?? ''}\r\nconnection: close\r\n\r\n`);
    answer.resume();
  });
  upstream.on('error', () => socket.destroy());
  upstream.end();
}

/** Values of a name that came several times stay several. */
function endToEnd({ rawHeaders, headers }: IncomingMessage): Record<string, string | string[]> {
  const named = (headers.connection ?? '')
    .toLowerCase()
    .split(',')
    .map((name) => name.trim());
  const kept: Record<string, string | string[]> = {};
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const [name = '', value = ''] = [rawHeaders[index]?.toLowerCase(), rawHeaders[index + 1]];
    if (HOP_BY_HOP.includes(name) || named.includes(name)) continue;
    const before = kept[name];
    kept[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value];
  }
  // Node ends a body by chunks where no length is told.
  if (headers['transfer-encoding'] !== undefined) kept['transfer-encoding'] = 'chunked';
  return kept;
}
