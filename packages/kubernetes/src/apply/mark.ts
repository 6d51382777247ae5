import type { Watched } from '../api/watch.ts';
import type { Kind } from '../api/resources.ts';
import { resourceOf } from '../api/resources.ts';
import { OWNER_LABEL } from '../render/owner.ts';
import type { Editor, ManagedFields } from './managed-fields.ts';
import { laterEditor, ownFields } from './managed-fields.ts';

/** Holds the hash of what Slipway applied: the same again needs no write. */
export const APPLIED_ANNOTATION = 'slipway.dev/applied';

/** What is kept of an object that Slipway applied; some 300 bytes. */
export interface Mark {
  key: string;
  kind: Kind;
  name: string;
  /** The environment's namespace; of a namespace its own name. */
  namespace: string;
  uid: string;
  version: number;
  /** Owner mark: the namespace that it says. */
  owner: string | null;
  /** Hash of what was applied; null: Slipway did not apply it. */
  applied: string | null;
  /** See `ownFields`. */
  fields: string;
  editor: Editor | null;
  existence: 'there' | 'terminating';
}

interface WithMetadata extends Watched {
  metadata: Watched['metadata'] & {
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    managedFields?: ManagedFields[];
    deletionTimestamp?: string;
  };
}

export function keyOf(object: { kind: string; metadata: { name: string } }): string {
  return `${object.kind}/${object.metadata.name}`;
}

export function markOf(kind: Kind, object: WithMetadata): Mark {
  const { metadata } = object;
  const entries = metadata.managedFields ?? [];
  return {
    key: `${kind}/${metadata.name}`,
    kind,
    name: metadata.name,
    namespace: resourceOf(kind).scope === 'cluster' ? metadata.name : (metadata.namespace ?? ''),
    uid: metadata.uid,
    version: Number(metadata.resourceVersion),
    owner: metadata.labels?.[OWNER_LABEL] ?? null,
    applied: metadata.annotations?.[APPLIED_ANNOTATION] ?? null,
    fields: ownFields(entries),
    editor: laterEditor(entries),
    existence: metadata.deletionTimestamp === undefined ? 'there' : 'terminating',
  };
}
