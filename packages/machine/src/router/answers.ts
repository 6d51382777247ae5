import type { ServerResponse } from 'node:http';
import type { BackendFailure } from './backend-pool.ts';

/** An answer the router gives itself, because no backend can. */
export interface Answer {
  status: number;
  title: string;
  /** What, why, what happens next, what to do. */
  sentences: readonly string[];
  retryAfterSeconds?: number;
  /** `close`: the connection is not used again, because what follows on it can't be trusted. */
  connection?: 'close';
}

export function noRoute(): Answer {
  return {
    status: 404,
    title: 'Nothing at this path',
    sentences: [
      'The environment at this host name has no service with a route that matches this path.',
      'The routes are declared as "route" of each service in slipway.yaml.',
    ],
  };
}

export function badGateway(failure: BackendFailure, detail: string): Answer {
  const what: Record<BackendFailure, string> = {
    'not-connected': 'The app does not accept connections right now.',
    stale: 'The app closed the connection before it answered.',
    closed: 'The app closed the connection before it answered.',
    malformed: `The app sent something that is no valid HTTP answer: ${detail}.`,
  };
  return {
    status: 502,
    title: 'The app did not answer',
    sentences: [
      what[failure],
      'The request may or may not have been carried out, so it was not sent again.',
      '"slipway logs" shows what the app wrote. If it crashed, it is being started again.',
    ],
  };
}

/** Sends it as a page for browsers and as text for everything else. Nothing when the reply has begun. */
export function sendAnswer(response: ServerResponse, answer: Answer, reads: 'html' | 'text', http2: boolean): void {
  if (response.headersSent || response.destroyed) return;
  const body = reads === 'html' ? page(answer) : `${answer.title}\n\n${answer.sentences.join('\n')}\n`;
  const fields: Record<string, string> = {
    'content-type': reads === 'html' ? 'text/html; charset=utf-8' : 'text/plain; charset=utf-8',
    'content-length': String(Buffer.byteLength(body)),
    'cache-control': 'no-store',
  };
  if (answer.retryAfterSeconds !== undefined) fields['retry-after'] = String(answer.retryAfterSeconds);
  if (answer.connection === 'close' && !http2) fields['connection'] = 'close';
  response.writeHead(answer.status, fields);
  response.end(body);
}

function page(answer: Answer): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escape(answer.title)}</title>
<style>
:root { color-scheme: light dark }
body { font: 16px/1.6 system-ui, sans-serif; max-width: 40rem; margin: 15vh auto; padding: 0 1.5rem }
h1 { font-size: 1.25rem }
</style>
<h1>${escape(answer.title)}</h1>
${answer.sentences.map((sentence) => `<p>${escape(sentence)}</p>`).join('\n')}
</html>
`;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
