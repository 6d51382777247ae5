import type { INamespace } from 'kubernetes-models/v1';
import type { Watched } from '../api/watch.ts';
import { OWNER_LABEL } from '../render/owner.ts';

/** What is kept of a namespace. */
export interface NamespaceView {
  name: string;
  uid: string;
  /** `APP/ENVIRONMENT` that it is for. */
  environment: string | null;
  /** Null while nobody has asked for its end. */
  terminating: { since: number; heldBy: string[] } | null;
}

/**
 * Why a namespace is still there after its end was asked for, as the namespace controller says it.
 * https://github.com/kubernetes/api/blob/master/core/v1/types.go (NamespaceConditionType)
 */
const CONDITIONS: readonly string[] = [
  'NamespaceDeletionDiscoveryFailure',
  'NamespaceDeletionContentFailure',
  'NamespaceDeletionGroupVersionParsingFailure',
  'NamespaceContentRemaining',
  'NamespaceFinalizersRemaining',
];

export function namespaceView({ metadata, spec, status }: INamespace & Watched): NamespaceView {
  const conditions = status?.conditions ?? [];
  const finalizers = (spec?.finalizers ?? []).filter((one) => one !== 'kubernetes');
  const reasons = CONDITIONS.flatMap((type) =>
    conditions.flatMap((one) => (one.type === type && one.status === 'True' ? [one.message ?? type] : [])),
  );
  return {
    name: metadata.name,
    uid: metadata.uid,
    environment: metadata.annotations?.[OWNER_LABEL] ?? null,
    terminating:
      metadata.deletionTimestamp === undefined
        ? null
        : {
            since: Date.parse(metadata.deletionTimestamp),
            heldBy: [...reasons, ...finalizers.map((one) => `its own finalizer ${one}`)],
          },
  };
}

/** For an operator: which namespace, and what holds it by name. */
export function explainTerminating({ name, terminating }: NamespaceView): string {
  const held = terminating?.heldBy ?? [];
  const why = held.length === 0 ? 'Its content is being deleted.' : `It is held by: ${held.join('; ')}.`;
  return `The namespace ${name} is being deleted. ${why}`;
}
