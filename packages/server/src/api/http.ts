import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Context as HonoContext } from 'hono';
import type { ErrorKind } from '@slipway/app';
import { SlipwayError } from '@slipway/app';
import type { Identity } from '../access/tokens.ts';
import type { Context } from '../context.ts';
import { problemSchema, type ApiProblem } from './schemas.ts';

export interface ApiEnvironmentVariables {
  Variables: { identity: Identity };
}
export type Api = OpenAPIHono<ApiEnvironmentVariables>;

/** One group of routes, mounted by api.ts. */
export type RouteGroup = (api: Api, context: Context, origin: (request: Request) => string) => void;

export const statusOf: Record<ErrorKind, 401 | 403 | 404 | 409 | 422 | 500 | 503> = {
  mistake: 422,
  denied: 403,
  'not-found': 404,
  conflict: 409,
  transient: 503,
  bug: 500,
};

/** What any error looks like to a client. A bug says nothing of its inside; the log has the stack. */
export function problemOf(error: unknown, log: (message: string) => void): ApiProblem {
  if (error instanceof SlipwayError)
    return { title: error.message, status: statusOf[error.kind], kind: error.kind, hint: error.hint };
  if (isDatabaseGone(error))
    return {
      title: 'The database does not answer at the moment. What runs keeps running.',
      status: 503,
      kind: 'transient',
      hint: 'Try again in a few seconds.',
    };
  log(`bug: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return {
    title: 'Slipway made a mistake; its log has the details.',
    status: 500,
    kind: 'bug',
    hint: 'Report it with the lines of the log that begin with "bug:".',
  };
}

/** Lost or refused connections (class 08, 57P0x of PostgreSQL, and the socket's own codes) are no bugs. */
export function isDatabaseGone(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error ? String(error.code) : '';
  return (
    /^(08...|57P0[123]|ECONNREFUSED|ECONNRESET|ENOENT|EPIPE)$/.test(code) ||
    /Connection terminated|connection timeout|timeout exceeded when trying to connect|Client has encountered a connection error/i.test(
      error.message,
    )
  );
}

export function problemResponse(c: HonoContext, problem: ApiProblem): Response {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- hono wants a literal; it is one of statusOf, or 401
  return c.body(JSON.stringify(problem), problem.status as 500, { 'content-type': 'application/problem+json' });
}

/** The responses every route may give beside its own. */
export const problems = {
  default: {
    description: 'What went wrong and what to do about it',
    content: { 'application/problem+json': { schema: problemSchema } },
  },
};

export function json<Schema>(schema: Schema, description: string) {
  return { description, content: { 'application/json': { schema } } };
}

/** A stream is no JSON that hono could hold against the route's schema; this says so to the type checker. */
export function streamed(response: Response): never {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- see above
  return response as never;
}
