import type { IncomingMessage } from 'node:http';

/**
 * Turns a client's request head into the head a backend gets.
 *
 * Node's parser has refused malformed HTTP/1.1 before (two lengths, a length beside an encoding, folded lines, bare line feeds). What is left
 * to decide is what two readers might understand differently, which is the door of request smuggling: anything doubtful is
 * refused, and the framing of what goes on is written anew here, never copied.
 */
export interface RequestHead {
  method: string;
  /** As the backend gets it: origin form, unchanged. */
  target: string;
  /** Host name in lower case, without port: what routes are chosen by. */
  host: string;
  /** Body, and how it is framed towards the backend. */
  body: 'none' | 'fixed' | 'chunked';
  /** The client waits for `100 Continue` before it sends the body. */
  expects: 'continue' | 'nothing';
  /** Protocol asked for; null: none. */
  upgrade: string | null;
  /** What a person reads best. */
  reads: 'html' | 'text';
  /** The head for a backend, with the empty line. */
  text: string;
}

/** The request can't be passed on; answered with `status`, and the connection is closed. */
export interface Refusal {
  status: 400 | 431 | 501;
  sentence: string;
}

export interface HeadOptions {
  /** Replaces `Connection`/`Upgrade` for an extended CONNECT (RFC 8441); null: as the client sent them. */
  websocketKey: string | null;
  /**
   * | forwarded | `Forwarded` and `X-Forwarded-*` of the client are |
   * | --- | --- |
   * | set  | thrown away and set by what the router saw |
   * | add  | kept and extended: the client is a proxy that is trusted |
   * | keep | passed on untouched: the client is another service of the same environment |
   */
  forwarded: 'set' | 'add' | 'keep';
}

const HEADER_LIMIT = 200;

/** What a field means here. Unknown ones are `plain` and passed on. */
type Kind =
  | 'plain'
  | 'host'
  | 'length'
  | 'encoding'
  | 'connection'
  | 'hop'
  | 'upgrade'
  | 'expect'
  | 'accept'
  | 'cookie'
  | 'forwarded'
  | 'pseudo'
  | 'malformed';

const KINDS: Readonly<Record<string, Kind>> = {
  host: 'host',
  'content-length': 'length',
  'transfer-encoding': 'encoding',
  connection: 'connection',
  // RFC 9110, 7.6.1, and what is as good as hop-by-hop.
  'keep-alive': 'hop',
  'proxy-connection': 'hop',
  'proxy-authenticate': 'hop',
  'proxy-authorization': 'hop',
  te: 'hop',
  'http2-settings': 'hop',
  upgrade: 'upgrade',
  expect: 'expect',
  accept: 'accept',
  cookie: 'cookie',
  forwarded: 'forwarded',
  'x-forwarded-for': 'forwarded',
  'x-forwarded-host': 'forwarded',
  'x-forwarded-port': 'forwarded',
  'x-forwarded-proto': 'forwarded',
  'x-forwarded-server': 'forwarded',
  'x-real-ip': 'forwarded',
};

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const TARGET = /^[\x21-\x7e\x80-\xff]+$/;
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const FORBIDDEN_IN_VALUE = /[\0-\x08\x0a-\x1f\x7f]|[^\0-\xff]/;
const HOST = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._~-]+)(?::\d{0,5})?$/;

/** Names repeat from request to request: what they mean is looked up once. Bounded, because clients choose names. */
const kinds = new Map<string, Kind>();

function kindOf(name: string): Kind {
  const known = kinds.get(name);
  if (known !== undefined) return known;
  const lower = name.toLowerCase();
  let kind = KINDS[lower];
  // CGI-like frameworks read `X_Forwarded_For` as `X-Forwarded-For`.
  if (kind === undefined && KINDS[lower.replaceAll('_', '-')] !== undefined) kind = 'hop';
  if (kind === undefined && lower.startsWith(':')) kind = 'pseudo';
  kind ??= TOKEN.test(name) ? 'plain' : 'malformed';
  if (kinds.size < 1000 && name.length <= 64) kinds.set(name, kind);
  return kind;
}

/** @returns The head to pass on, or why it can't be. */
export function readRequestHead(request: IncomingMessage, options: HeadOptions): RequestHead | Refusal {
  const raw = request.rawHeaders;
  const method = options.websocketKey === null ? (request.method ?? '') : 'GET';
  const http2 = request.httpVersionMajor === 2;
  let target = request.url ?? '/';
  let hostField: string | null = null;
  let length: string | null = null;
  let encoding: string | null = null;
  let connection = '';
  let upgrade: string | null = null;
  let expects: RequestHead['expects'] = 'nothing';
  let reads: RequestHead['reads'] = 'text';
  let cookies = '';
  let before = '';
  let fields = '';

  if (raw.length > HEADER_LIMIT * 2) return refuse(431, `It has more than ${HEADER_LIMIT} header lines.`);
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const value = raw[i + 1] ?? '';
    if (http2 && FORBIDDEN_IN_VALUE.test(value)) return refuse(400, 'A header has characters that are not allowed.');
    switch (kindOf(name)) {
      case 'plain':
        fields += `${name}: ${value}\r\n`;
        break;
      case 'accept':
        if (value.includes('text/html')) reads = 'html';
        fields += `${name}: ${value}\r\n`;
        break;
      case 'host':
        if (hostField !== null && (!http2 || hostField !== value)) return refuse(400, 'It names more than one host.');
        hostField = value;
        break;
      case 'length':
        if (length !== null || !/^\d{1,15}$/.test(value)) return refuse(400, 'Its Content-Length is not one number.');
        length = value;
        break;
      case 'encoding':
        if (encoding !== null) return refuse(400, 'It has two Transfer-Encodings.');
        encoding = value.toLowerCase();
        break;
      case 'connection':
        connection += connection === '' ? value : `,${value}`;
        break;
      case 'upgrade':
        upgrade = upgrade === null ? value : `${upgrade}, ${value}`;
        break;
      case 'expect':
        if (value.toLowerCase() === '100-continue') expects = 'continue';
        break;
      case 'cookie':
        // HTTP/2 may cut cookies into pieces: RFC 9113, 8.2.3.
        cookies += cookies === '' ? value : `; ${value}`;
        break;
      case 'forwarded':
        if (options.forwarded === 'keep') fields += `${name}: ${value}\r\n`;
        else if (options.forwarded === 'add') before += `${name}: ${value}\r\n`;
        break;
      case 'pseudo':
        if (name === ':authority') {
          if (hostField !== null && hostField !== value) return refuse(400, 'It names more than one host.');
          hostField = value;
        }
        break;
      case 'hop':
        break;
      case 'malformed':
        return refuse(400, 'A header name has characters that are not allowed.');
    }
  }

  if (!TOKEN.test(method) || !TARGET.test(target))
    return refuse(400, 'Its request line has characters that are not allowed.');
  if (target.charCodeAt(0) !== 47 && target !== '*') {
    // Absolute form: the host in it counts (RFC 9112, 3.2.2). One that differs from the Host header is somebody's trick.
    const absolute = /^https?:\/\/([^/?#]*)([^#]*)$/i.exec(target);
    if (absolute === null) return refuse(400, 'Its target is neither a path nor an http address.');
    const authority = absolute[1] ?? '';
    if (hostField !== null && hostField.toLowerCase() !== authority.toLowerCase())
      return refuse(400, 'Its address and its Host header differ.');
    hostField = authority;
    const path = absolute[2] ?? '';
    target = path.startsWith('/') ? path : `/${path}`;
  }
  if (hostField === null || !HOST.test(hostField))
    return refuse(400, 'It has no Host header, or one that is no host name.');
  if (encoding !== null && length !== null) return refuse(400, 'It has both a Content-Length and a Transfer-Encoding.');
  if (encoding !== null && (encoding !== 'chunked' || http2 || request.httpVersionMinor === 0)) {
    return refuse(501, 'Its Transfer-Encoding is something else than chunked.');
  }

  let body: RequestHead['body'] = 'none';
  if (options.websocketKey !== null) length = null;
  else if (encoding !== null) body = 'chunked';
  else if (length !== null) body = Number(length) > 0 ? 'fixed' : 'none';
  else if (http2 && !request.readableEnded && !endsWithHead(request)) body = 'chunked';

  if (connection !== '') fields = withoutNamed(fields, connection);
  if (cookies !== '') fields += `Cookie: ${cookies}\r\n`;
  if (options.forwarded !== 'keep') {
    fields += forwardedFields(before, request.socket.remoteAddress ?? '127.0.0.1', hostField);
  }
  if (body === 'chunked') fields += 'Transfer-Encoding: chunked\r\n';
  else if (length !== null) fields += `Content-Length: ${length}\r\n`;
  if (body === 'none') expects = 'nothing';
  if (expects === 'continue') fields += 'Expect: 100-continue\r\n';

  // A body and another protocol at once: the protocol is left out, as every server may (RFC 9110, 7.8).
  if (options.websocketKey !== null) {
    upgrade = 'websocket';
    fields += `Sec-WebSocket-Key: ${options.websocketKey}\r\n`;
  } else if (upgrade !== null && (body !== 'none' || http2 || !/\bupgrade\b/i.test(connection))) upgrade = null;
  if (upgrade !== null) fields += `Connection: Upgrade\r\nUpgrade: ${upgrade}\r\n`;

  const text = `${method} ${target} HTTP/1.1\r\nHost: ${hostField}\r\n${fields}\r\n`;
  return { method, target, host: hostName(hostField), body, expects, upgrade, reads, text };
}

/** Trailer fields that may be passed on, as lines. A trailer never frames or routes: RFC 9110, 6.5.1. */
export function trailerLines(raw: readonly string[]): string {
  let lines = '';
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const value = raw[i + 1] ?? '';
    if (kindOf(name) === 'plain' && !FORBIDDEN_IN_VALUE.test(value)) lines += `${name}: ${value}\r\n`;
  }
  return lines;
}

/** The reply's fields that go on to the client: hop-by-hop ones and the framing are the router's own business. */
export function passOnReplyFields(fields: readonly string[], named: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    const kind = kindOf(name);
    if (kind === 'hop' && /^(?:keep-alive|proxy-connection|te)$/i.test(name)) continue;
    if (kind === 'connection' || kind === 'encoding' || kind === 'upgrade' || kind === 'pseudo' || kind === 'malformed')
      continue;
    if (named.length > 0 && named.includes(name.toLowerCase())) continue;
    kept.push(name, fields[i + 1] ?? '');
  }
  return kept;
}

function refuse(status: Refusal['status'], sentence: string): Refusal {
  return { status, sentence };
}

/** HTTP/2: the stream ended with its header frame, so there is no body. */
function endsWithHead(request: IncomingMessage & { stream?: { endAfterHeaders?: boolean } }): boolean {
  return request.stream?.endAfterHeaders === true;
}

/** Removes the fields that the client's `Connection` names. Host and framing are not among `lines`, so they can't be named away. */
function withoutNamed(lines: string, connection: string): string {
  if (/^(?:keep-alive|close|upgrade)$/i.test(connection)) return lines;
  const named = new Set(
    connection
      .toLowerCase()
      .split(',')
      .map((token) => token.trim()),
  );
  return lines
    .split('\r\n')
    .filter((line) => line !== '' && !named.has(line.slice(0, line.indexOf(':')).toLowerCase()))
    .map((line) => `${line}\r\n`)
    .join('');
}

function forwardedFields(before: string, address: string, host: string): string {
  const peer = address.startsWith('::ffff:') ? address.slice(7) : address;
  const node = peer.includes(':') ? `"[${peer}]"` : peer;
  if (before === '') {
    return `X-Forwarded-For: ${peer}\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: ${host}\r\nForwarded: for=${node};host="${host}";proto=http\r\n`;
  }
  // Lists may be spread over several lines: RFC 9110, 5.3.
  let lines = `${before}X-Forwarded-For: ${peer}\r\nForwarded: for=${node}\r\n`;
  if (!/^x-forwarded-proto:/im.test(before)) lines += 'X-Forwarded-Proto: http\r\n';
  if (!/^x-forwarded-host:/im.test(before)) lines += `X-Forwarded-Host: ${host}\r\n`;
  return lines;
}

function hostName(field: string): string {
  const colon = field.endsWith(']') ? -1 : field.lastIndexOf(':');
  let name = colon < 0 ? field : field.slice(0, colon);
  if (name.endsWith('.')) name = name.slice(0, -1);
  return name.toLowerCase();
}
