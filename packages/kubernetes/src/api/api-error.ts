import type { ErrorKind } from '@slipway/app';
import { SlipwayError } from '@slipway/app';
import { isMapping, mappingsAt, valueAt } from '../render/json-value.ts';

/**
 * An answer of the API server that is no success, in Slipway's words.
 *
 * | status | kind | says |
 * | --- | --- | --- |
 * | 401 | denied | the credentials are not taken |
 * | 403 | mistake | which right is missing; a quota that is used up and a refusing policy are told as the server does |
 * | 404 | not-found | |
 * | 409 | conflict | which other manager has the field, or that the object was changed meanwhile |
 * | 410 | transient | what was watched from is too old |
 * | 400, 405, 413, 415, 422 | mistake | what the server does not accept |
 * | 408, 429, 5xx, none | transient | |
 */
export class ApiError extends SlipwayError {
  /** HTTP status; 0: there was no answer. */
  readonly status: number;
  /** Kubernetes' own word, such as `AlreadyExists`. */
  readonly reason: string;
  /** Seconds to wait before the next try; null: not said. */
  readonly retryAfterSeconds: number | null;

  constructor(
    kind: ErrorKind,
    message: string,
    about: { status: number; reason?: string; retryAfterSeconds?: number | null; hint?: string; cause?: unknown },
  ) {
    super(kind, message, {
      ...(about.hint === undefined ? {} : { hint: about.hint }),
      ...(about.cause === undefined ? {} : { cause: about.cause }),
    });
    this.status = about.status;
    this.reason = about.reason ?? '';
    this.retryAfterSeconds = about.retryAfterSeconds ?? null;
  }
}

/**
 * @param what Which request it was, such as `PATCH deployments web`.
 * @param body Of the answer: a `Status` in JSON, or any text.
 */
export function refusal(what: string, status: number, body: string, retryAfter: string | null = null): ApiError {
  const answer = statusOf(body);
  const told = valueAt(answer, 'message');
  const message = typeof told === 'string' ? told : body.slice(0, 300) || `HTTP ${status}`;
  const word = valueAt(answer, 'reason');
  const reason = typeof word === 'string' ? word : '';
  const seconds = Number(retryAfter ?? valueAt(answer, 'details', 'retryAfterSeconds') ?? Number.NaN);
  const about = { status, reason, retryAfterSeconds: Number.isFinite(seconds) ? seconds : null };
  if (status === 401) return new ApiError('denied', `The cluster does not take Slipway's credentials (${what})`, about);
  if (status === 403) return forbidden(what, message, about);
  if (status === 404) return new ApiError('not-found', `${what}: ${message}`, about);
  if (status === 409) return conflict(what, message, answer, about);
  if (status === 408 || status === 410 || status === 429 || status >= 500)
    return new ApiError('transient', `The cluster can't do it now (${what}: ${status} ${message})`, about);
  return new ApiError('mistake', `The cluster does not accept it (${what}): ${message}`, about);
}

/** No answer came: the network, TLS, or a time that was over. */
export function noAnswer(what: string, cause: unknown): ApiError {
  const code = isMapping(cause) && typeof cause['code'] === 'string' ? cause['code'] : null;
  const why = code ?? (cause instanceof Error ? cause.message : String(cause));
  return new ApiError('transient', `The cluster can't be reached (${what}: ${why})`, { status: 0, cause });
}

type About = { status: number; reason: string; retryAfterSeconds: number | null };

/** `deployments.apps "web" is forbidden: User "x" cannot patch resource "deployments" in API group "apps" in the namespace "shop--staging"`. */
const MISSING_RIGHT =
  /User "([^"]*)" cannot (\S+) resource "([^"]*)" in API group "([^"]*)"(?: in the namespace "([^"]*)")?/;

function forbidden(what: string, message: string, about: About): ApiError {
  const [, user, verb, resource, group, namespace] = MISSING_RIGHT.exec(message) ?? [];
  if (verb === undefined) return new ApiError('mistake', `The cluster refuses it (${what}): ${message}`, about);
  const full = group === '' ? resource : `${resource}.${group}`;
  const where = namespace === undefined ? 'in the whole cluster' : `in namespace ${namespace}`;
  return new ApiError('mistake', `Slipway's user ${user} lacks the right to ${verb} ${full} ${where}`, {
    ...about,
    hint: `Grant it: a Role or ClusterRole with resource ${full} and verb ${verb}.`,
  });
}

/** `conflict with "kubectl-edit" using apps/v1`. */
const MANAGER = /conflicts? with "([^"]+)"/;

function conflict(what: string, message: string, answer: unknown, about: About): ApiError {
  const causes = mappingsAt(answer, 'details', 'causes').filter((one) => one['reason'] === 'FieldManagerConflict');
  if (causes.length === 0) return new ApiError('conflict', `${what}: ${message}`, about);
  const fields = causes.map(
    ({ field, message }) => `${String(field)} (${MANAGER.exec(String(message))?.[1] ?? 'another manager'})`,
  );
  return new ApiError('conflict', `${what}: other managers have fields that Slipway sets: ${fields.join(', ')}`, {
    ...about,
    hint: 'Let the other manager give them up, or patch them out in slipway.yaml under kubernetes.patches.',
  });
}

function statusOf(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}
