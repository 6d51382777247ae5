import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { freePort } from '@slipway/testing';
import { onTestFinished } from 'vitest';

type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void;

/**
 * An HTTP server that answers like the control plane, for what only concerns how commands ask and print. The whole way
 * is tested with the real one.
 *
 * @param routes By `METHOD /path?query`; a value that is no function is sent as JSON.
 * @returns what was asked, `METHOD path body`, as it comes in.
 */
export async function fakeApi(
  home: string,
  routes: Record<string, Answer | object>,
): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => (body += text));
    request.on('end', () => {
      asked.push(`${request.method} ${request.url} ${body}`.trim());
      const route = routes[`${request.method} ${request.url}`];
      if (request.headers.authorization !== 'Bearer secret')
        problem(response, 401, 'denied', 'this token is not known');
      else if (isAnswer(route)) route(request, response, body);
      else if (route === undefined) problem(response, 404, 'not-found', `there is no ${request.url}`);
      else response.setHeader('content-type', 'application/json').end(JSON.stringify(route));
    });
  });
  const port = await freePort();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${port}`;
  await writeFile(
    join(home, 'server.json'),
    JSON.stringify({ url, pid: process.pid, startedAt: '2026-01-01T00:00:00Z' }),
  );
  await writeFile(join(home, 'token'), 'secret\n', { mode: 0o600 });
  return { url, asked };
}

export function problem(
  response: ServerResponse,
  status: number,
  kind: string,
  title: string,
  hint: string | null = null,
): void {
  response.writeHead(status, { 'content-type': 'application/problem+json' });
  response.end(JSON.stringify({ title, status, kind, hint }));
}

function isAnswer(route: Answer | object | undefined): route is Answer {
  return typeof route === 'function';
}
