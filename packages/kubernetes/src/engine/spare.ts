import { ApiError } from '../api/api-error.ts';
import type { ApiClient } from '../api/client.ts';
import { objectPath } from '../api/resources.ts';
import type { PodView } from '../observe/pod-view.ts';
import { instanceId } from './status.ts';

/** https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#pod-deletion-cost */
const COST_ANNOTATION = 'controller.kubernetes.io/pod-deletion-cost';
/** The same for us: the watch keeps only annotations of ours. */
const BUSY_ANNOTATION = 'slipway.dev/busy';

/** Marks pods of workers, so that those without a task are deleted first when a lane gets fewer. Only what changed is written. */
export async function spareBusy(api: ApiClient, pods: readonly PodView[], busy: ReadonlySet<string>): Promise<void> {
  const wrong = pods.filter(
    (pod) =>
      pod.component === 'worker' &&
      pod.life === 'stays' &&
      busy.has(instanceId(pod)) !== (pod.annotations[BUSY_ANNOTATION] === 'yes'),
  );
  await Promise.all(
    wrong.map(async (pod) => {
      const isBusy = busy.has(instanceId(pod));
      const annotations = { [COST_ANNOTATION]: isBusy ? '100' : '0', [BUSY_ANNOTATION]: isBusy ? 'yes' : 'no' };
      try {
        await api.merge(objectPath('Pod', pod.namespace, pod.name), { metadata: { annotations } });
      } catch (error) {
        if (!(error instanceof ApiError && error.status === 404)) throw error;
      }
    }),
  );
}
