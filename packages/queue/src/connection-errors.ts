import type { DatabaseError } from 'pg';

/** SQLSTATE classes in which the statement itself is not at fault: connection, resources, operator intervention, read-only (failover), deadlock. */
const PASSING = /^(08|53|57|25006|40)/;

/** Whether the same statement may work when PostgreSQL is back. */
export function isPassing(error: unknown): boolean {
  // What is not from PostgreSQL is from the socket or the pool: refused, reset, ended, timed out.
  return isDatabaseError(error) ? PASSING.test(error.code ?? '') : true;
}

/** PostgreSQL's code; empty for anything that is not from PostgreSQL. */
export function sqlState(error: unknown): string {
  return isDatabaseError(error) ? (error.code ?? '') : '';
}

/** Not `instanceof`: the program that hands us its pool may have a `pg` of its own. Errors of sockets have a code, but no severity. */
function isDatabaseError(error: unknown): error is DatabaseError {
  return error instanceof Error && 'severity' in error && 'code' in error && typeof error.code === 'string';
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}

/** The error and what caused it, for a person. jsonb and text can't hold the character U+0000, nor half of a surrogate pair. */
export function describeError(error: unknown): string {
  const messages: string[] = [];
  for (let cause = error; cause !== undefined && cause !== null && messages.length < 5;) {
    messages.push(messageOf(cause));
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return messages.join(': ').replaceAll('\0', '').slice(0, 10_000).toWellFormed();
}
