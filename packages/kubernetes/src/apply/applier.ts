import { SlipwayError } from '@slipway/app';
import { ApiError } from '../api/api-error.ts';
import type { ApiClient } from '../api/client.ts';
import type { Kind } from '../api/resources.ts';
import { objectPath, resourceOf } from '../api/resources.ts';
import type { Watched } from '../api/watch.ts';
import type { KubernetesObject } from '../render/kubernetes-object.ts';
import { contentHash } from '../render/names.ts';
import { FIELD_MANAGER } from './managed-fields.ts';
import type { Mark } from './mark.ts';
import { APPLIED_ANNOTATION, keyOf, markOf } from './mark.ts';
import { DRIFTED } from './object-store.ts';
import type { ObjectStore } from './object-store.ts';

/** An object, and the hash by which the same is known again. */
export interface Desired {
  key: string;
  kind: Kind;
  hash: string;
  object: KubernetesObject;
}

/** What is together in a stage does not refer to each other, and is written at the same time. */
const STAGES: readonly (readonly Kind[])[] = [
  ['Namespace'],
  ['NetworkPolicy', 'ResourceQuota', 'ServiceAccount', 'Secret', 'ConfigMap'],
  ['Job'],
  ['Service', 'Deployment', 'HorizontalPodAutoscaler', 'PodDisruptionBudget', 'CronJob'],
  ['EndpointSlice'],
  ['Ingress', 'HTTPRoute'],
];

export function desired(object: KubernetesObject): Desired {
  return { key: keyOf(object), kind: object.kind, hash: contentHash(object), object };
}

/**
 * Writes objects by server-side apply, in stages. What is in the cluster already as it should be, by the hash on it and by who has its
 * fields, is not written. What is ours is written with force, so that an edit by hand is set back; what somebody else made is not touched.
 *
 * @returns How many were written.
 * @throws {SlipwayError} of the first that failed; those of the same stage were tried, later stages were not.
 */
export async function applyObjects(
  api: ApiClient,
  store: ObjectStore,
  namespace: string,
  objects: readonly Desired[],
): Promise<number> {
  let written = 0;
  for (const stage of STAGES) {
    const due = objects.filter(({ kind }) => stage.includes(kind)).filter((one) => isDue(store, namespace, one));
    const results = await Promise.allSettled(due.map((one) => write(api, store, namespace, one)));
    written += due.length;
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }
  return written;
}

export function isDue(store: ObjectStore, namespace: string, { key, hash }: Pick<Desired, 'key' | 'hash'>): boolean {
  const mark = store.get(namespace, key);
  return (
    mark === undefined ||
    mark.applied !== hash ||
    mark.fields === DRIFTED ||
    mark.fields === 'none' ||
    mark.editor !== null
  );
}

async function write(api: ApiClient, store: ObjectStore, namespace: string, one: Desired): Promise<void> {
  const { object, kind, hash, key } = one;
  const place = resourceOf(kind).scope === 'cluster' ? null : namespace;
  const path = objectPath(kind, place, object.metadata.name);
  const known = store.get(namespace, key);
  if (known === undefined && kind === 'Namespace') await refuseForeign(api, path, object);
  const body = {
    ...object,
    metadata: { ...object.metadata, annotations: { ...object.metadata.annotations, [APPLIED_ANNOTATION]: hash } },
  };
  const answer = await api.apply<Watched>(path, body, FIELD_MANAGER, known === undefined ? 'no' : 'yes');
  store.wrote(markOf(kind, answer));
}

/** Apply would make somebody else's namespace ours, and ours are deleted. */
async function refuseForeign(api: ApiClient, path: string, object: KubernetesObject): Promise<void> {
  try {
    const { metadata } = await api.get<{ metadata: { labels?: Record<string, string> } }>(path);
    const ours = Object.entries(object.metadata.labels).every(([name, value]) => metadata.labels?.[name] === value);
    if (ours) return;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return;
    throw error;
  }
  throw new SlipwayError('conflict', `The namespace ${object.metadata.name} exists and is not Slipway's`, {
    hint: 'Delete it, or give the environment another name.',
  });
}

/**
 * Deletes what was applied before and is not wanted any more: it must be in the inventory, carry the owner mark and be the very object that was
 * seen.
 */
export async function prune(
  api: ApiClient,
  store: ObjectStore,
  namespace: string,
  options: { wanted: ReadonlySet<string>; inventory: ReadonlySet<string> },
): Promise<Mark[]> {
  const surplus = store
    .in(namespace)
    .filter(
      ({ key, kind, owner, applied, existence }) =>
        kind !== 'Namespace' &&
        existence === 'there' &&
        applied !== null &&
        owner === namespace &&
        options.inventory.has(key) &&
        !options.wanted.has(key),
    );
  await Promise.all(surplus.map((mark) => deleteMarked(api, store, mark)));
  return surplus;
}

export async function deleteMarked(api: ApiClient, store: ObjectStore, mark: Mark): Promise<void> {
  const place = resourceOf(mark.kind).scope === 'cluster' ? null : mark.namespace;
  store.deleting(mark);
  try {
    await api.delete(objectPath(mark.kind, place, mark.name), { preconditions: { uid: mark.uid } });
  } catch (error) {
    // Another object of that name is none of those that were seen.
    if (!(error instanceof ApiError && error.status === 409)) throw error;
  }
}
