import type { Mark } from '@slipway/queue/processes';

/** The variable in the environment of everything the agent starts that says whose it is; inherited by all descendants. */
export const markVariable = 'SLIPWAY_INSTANCE';

export function instanceMark(id: string): Mark {
  return { variable: markVariable, value: id };
}
