import type { ClusterView } from '../observe/cluster-view.ts';
import type { NamespaceView } from '../observe/namespace-view.ts';
import { successor } from './next-record.ts';

/** A namespace that is deleted for longer than this does not hold up its successor. */
export const STUCK_MILLISECONDS = 10_000;

/**
 * Where an environment's objects can be made.
 *
 * | kind | means |
 * | --- | --- |
 * | here | in its namespace, which is there or can be made |
 * | soon | its namespace is being deleted, and most are gone within seconds |
 * | elsewhere | its namespace does not go; another name is free |
 */
export type Place =
  | { kind: 'here' }
  | { kind: 'soon'; milliseconds: number }
  | { kind: 'elsewhere'; namespace: string };

export function placeFor(view: ClusterView, environment: string, namespace: string, now: number): Place {
  const terminating = view.namespace(namespace)?.terminating ?? null;
  if (terminating === null) return { kind: 'here' };
  const left = terminating.since + STUCK_MILLISECONDS - now;
  if (left > 0) return { kind: 'soon', milliseconds: left };
  const taken = new Set(view.namespacesOf(environment).map(({ name }) => name));
  return { kind: 'elsewhere', namespace: successor(environment, taken) };
}

/** Namespaces of an environment that should be gone and are not. */
export function stuckNamespaces(view: ClusterView, environment: string, now: number): NamespaceView[] {
  return view
    .namespacesOf(environment)
    .filter(({ terminating }) => terminating !== null && now - terminating.since >= STUCK_MILLISECONDS);
}
