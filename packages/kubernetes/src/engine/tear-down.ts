import type { ApiClient } from '../api/client.ts';
import { collectionPath, objectPath } from '../api/resources.ts';
import type { ClusterView } from '../observe/cluster-view.ts';
import { unprotect } from './protect.ts';

/** Seconds that processes get when their whole environment is removed. */
const GRACE_SECONDS = 2;

/**
 * Asks for the end of every namespace of an environment. Only of those that carry its mark, and of the very one that was seen.
 *
 * @param protection `on`: a label of the namespace keeps everybody from deleting it.
 * @returns How many are still there.
 */
export async function tearDown(
  api: ApiClient,
  view: ClusterView,
  environment: string,
  protection: 'on' | 'off',
): Promise<number> {
  const namespaces = view.namespacesOf(environment);
  for (const { name, uid, terminating } of namespaces) {
    if (terminating !== null) continue;
    if (protection === 'on') await unprotect(api, name);
    // First the namespace: nothing can be made in it any more, so no controller makes the pods again that are ended now.
    await api.delete(objectPath('Namespace', null, name), { preconditions: { uid } });
    await api.delete(collectionPath('Pod', name), { gracePeriodSeconds: GRACE_SECONDS });
  }
  return namespaces.length;
}
