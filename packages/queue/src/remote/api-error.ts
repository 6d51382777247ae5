import type { ServerResponse } from 'node:http';
import { ZodError } from 'zod';
import { isPassing, sqlState } from '../connection-errors.ts';
import { WorkerGone } from './broker.ts';
import { ObjectMissing, ObjectRefused, ObjectStoreDown } from '../objects/index.ts';

/**
 * | status | code | when |
 * | --- | --- | --- |
 * | 400 | bad-request    | what was sent can't be used |
 * | 404 | not-found      | there is no such thing in the caller's scope |
 * | 405 | not-allowed    | the address exists, with another method |
 * | 409 | conflict       | it exists, and is in another state than this needs |
 * | 413 | too-large      | the body is longer than is taken |
 * | 500 | bug            | our fault |
 * | 503 | unavailable    | PostgreSQL or the object store can't be reached now |
 */
const codes = {
  400: 'bad-request',
  404: 'not-found',
  405: 'not-allowed',
  409: 'conflict',
  413: 'too-large',
  500: 'bug',
  503: 'unavailable',
} as const;

/** What a request is answered with that can't be done. */
export class ApiError extends Error {
  readonly status: keyof typeof codes;
  readonly hint: string;

  constructor(status: keyof typeof codes, message: string, hint: string) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.hint = hint;
  }
}

export function answerError(response: ServerResponse, error: unknown): void {
  // In the middle of a body nothing else can be said than that it ends here.
  if (response.headersSent) return void response.destroy();
  const { status, message, hint } = explain(error);
  response.writeHead(status, {
    'content-type': 'application/json',
    'cache-control': 'no-store',
    ...(status === 503 && { 'retry-after': '1' }),
    // The rest of the body is not read.
    ...(status === 413 && { connection: 'close' }),
  });
  response.end(JSON.stringify({ error: { code: codes[status], message, hint } }));
}

function explain(error: unknown): { status: keyof typeof codes; message: string; hint: string } {
  if (error instanceof ApiError) return error;
  if (error instanceof ZodError) {
    const issues = error.issues.slice(0, 5).map(({ path, message }) => `${path.join('.') || 'the body'}: ${message}`);
    return {
      status: 400,
      message: issues.join('; '),
      hint: 'Nothing was changed. Mend the request and send it again.',
    };
  }
  if (error instanceof WorkerGone)
    return { status: 409, message: error.message, hint: 'Stop the tasks it ran, and POST /workers again.' };
  if (error instanceof ObjectRefused)
    return { status: 400, message: error.message, hint: 'Choose another name or key.' };
  if (error instanceof ObjectMissing) return { status: 404, message: error.message, hint: 'Upload it again.' };
  if (error instanceof ObjectStoreDown) {
    return { status: 503, message: 'The object store does not work right now.', hint: 'Try again in a moment.' };
  }
  if (isOutage(error)) {
    return { status: 503, message: 'PostgreSQL can not be reached right now.', hint: 'Try again in a moment.' };
  }
  // What it says may hold anything, also what the caller must not see.
  return { status: 500, message: 'This request met a bug.', hint: 'Tell the operator the time; it is in the log.' };
}

/** Faults of the program itself are of the language's own classes; what is left came from a connection. */
function isOutage(error: unknown): boolean {
  if (sqlState(error) !== '') return isPassing(error);
  if (!(error instanceof Error)) return false;
  return error.constructor === Error || 'code' in error;
}

/** Worth a line in the log: not the caller's fault. */
export function isBug(error: unknown): boolean {
  return explain(error).status === 500;
}
