import { SlipwayError, type ErrorKind } from '@slipway/app';

/** An error as it travels between agent and engine. */
export interface Problem {
  kind: ErrorKind;
  message: string;
  hint: string | null;
}

export function toProblem(error: unknown): Problem {
  if (error instanceof SlipwayError) return { kind: error.kind, message: error.message, hint: error.hint };
  return {
    kind: 'bug',
    message: `The agent failed: ${error instanceof Error ? error.message : String(error)}`,
    hint: 'Please report this as a bug of Slipway, with the log of the agent.',
  };
}

/** What was thrown on the other side. */
export function fromProblem(problem: Problem): Error {
  const options = problem.hint === null ? {} : { hint: problem.hint };
  return problem.kind === 'bug' ? new Error(problem.message) : new SlipwayError(problem.kind, problem.message, options);
}

export const statusOf: Record<ErrorKind, number> = {
  mistake: 422,
  denied: 403,
  conflict: 409,
  'not-found': 404,
  transient: 503,
  bug: 500,
};
