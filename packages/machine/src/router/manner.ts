import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Stream } from 'node:http2';

/**
 * How a client asked.
 *
 * | manner | request |
 * | --- | --- |
 * | http1         | plain, on HTTP/1.x |
 * | http2         | one stream of an HTTP/2 connection |
 * | http1-upgrade | asks for another protocol; its response owns the whole connection |
 * | http2-connect | WebSocket over one stream: extended CONNECT, RFC 8441 |
 */
export type Manner = 'http1' | 'http2' | 'http1-upgrade' | 'http2-connect';

export function isHttp2(manner: Manner): boolean {
  return manner === 'http2' || manner === 'http2-connect';
}

/** Node's compatibility API gives HTTP/2 requests and responses the shape of HTTP/1 ones, on purpose, but its types don't say so. */
export function asHttp1(request: Http2ServerRequest, response: Http2ServerResponse): [IncomingMessage, ServerResponse] {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- see above
  return [request, response] as unknown as [IncomingMessage, ServerResponse];
}

/** The stream under an HTTP/2 response; null for HTTP/1. */
export function http2Stream(response: ServerResponse): ServerHttp2Stream | null {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- undoes `asHttp1`
  return (response as unknown as { stream?: ServerHttp2Stream }).stream ?? null;
}
