import type { ApiEnvironment, Role } from '../api/client.ts';

/** What a person can ask for on one environment. */
export type Action = 'approve' | 'promote' | 'rollback';

export const actionNames: Record<Action, string> = { approve: 'Approve', promote: 'Promote', rollback: 'Roll back' };

/**
 * What the role allows and the state makes sensible. The control plane decides; this only spares people buttons that would fail.
 *
 * @param source The environment that promotions come from; undefined when there is none.
 */
export function possibleActions(environment: ApiEnvironment, source: ApiEnvironment | undefined, role: Role): Action[] {
  if (role === 'viewer' || environment.state === 'removing') return [];
  const actions: Action[] = [];
  if (environment.rollout?.state === 'waiting' && environment.rollout.approval === 'required') {
    if (role === 'admin') actions.push('approve');
  } else if (source?.release) actions.push('promote');
  if (environment.release) actions.push('rollback');
  return actions;
}
