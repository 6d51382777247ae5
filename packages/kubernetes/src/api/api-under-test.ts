import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { ApiClient } from './client.ts';
import { Pace } from './pace.ts';

/** What a request is answered by, in the order they come; the last one answers all that follow. */
export type Answer = (response: ServerResponse, url: URL) => void;

/** An API server for faults that a real one can't be made to have. */
export async function faultyApi(...answers: Answer[]): Promise<{ api: ApiClient; seen: string[] }> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://api');
    seen.push(`${request.method} ${url.pathname}${url.search}`);
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    answer?.(response, url);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  const api = new ApiClient(
    {
      server: new URL(`http://127.0.0.1:${port}`),
      ca: null,
      verification: 'required',
      serverName: null,
      identity: { kind: 'nobody' },
    },
    { pace: new Pace() },
  );
  onTestFinished(async () => {
    await api.close();
    server.closeAllConnections();
    server.close();
  });
  return { api, seen };
}

export const json =
  (body: unknown, status = 200, headers: Record<string, string> = {}): Answer =>
  (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(body));
  };

export const failure = (code: number, reason: string, headers: Record<string, string> = {}): Answer =>
  json({ kind: 'Status', code, reason, message: reason }, code, headers);

/** A watch that says so much and then ends, breaks, or goes on. */
export const events =
  (end: 'end' | 'break' | 'stay', ...changes: unknown[]): Answer =>
  (response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    for (const change of changes) response.write(`${JSON.stringify(change)}\n`);
    if (end === 'end') response.end();
    if (end === 'break') setImmediate(() => response.destroy());
  };
