/**
 * The closed taxonomy of what can go wrong. Everything that is thrown and is not a `SlipwayError` is a bug, and only
 * bugs print a stack.
 *
 * | kind | meaning | HTTP | exit code | what the caller does |
 * | --- | --- | --- | --- | --- |
 * | mistake | the request can't work as asked | 422 | 2 | change it; `hint` says how |
 * | denied | the token does not allow this | 403 | 2 | use another token |
 * | conflict | something newer or protected is in the way | 409 | 1 | look, then decide |
 * | not-found | there is no such thing | 404 | 2 | `hint` lists the nearest names |
 * | transient | it may work in a moment | 503 | 1 | try again with back-off |
 * | bug | ours; never thrown as such, only how an unknown error is reported | 500 | 1 | report it |
 */
export type ErrorKind = 'mistake' | 'denied' | 'conflict' | 'not-found' | 'transient' | 'bug';

export class SlipwayError extends Error {
  readonly kind: ErrorKind;
  /** What to do next, one sentence; null when the message says it. */
  readonly hint: string | null;

  /**
   * @param message What happened and why, without a stack and without secrets.
   */
  constructor(kind: ErrorKind, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'SlipwayError';
    this.kind = kind;
    this.hint = options.hint ?? null;
  }
}

/** What a thrown value says, for a log line or an event. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
