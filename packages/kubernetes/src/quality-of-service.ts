import type { KubernetesObject } from './kubernetes-object.ts';
import { sortedMap } from './kubernetes-object.ts';
import { podSpecOf } from './pod-spec.ts';

export const QOS_ANNOTATION = 'slipway.dev/qos-class';

/**
 * Says on whatever makes pods which class they get when a node runs out of memory: the kubelet ends BestEffort first, Guaranteed last. It is worked
 * out from the containers as they are after patches.
 * https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/
 */
export function withQualityOfService(object: KubernetesObject): KubernetesObject {
  const spec = podSpecOf(object);
  if (spec === null) return object;
  const resources = [...(spec.initContainers ?? []), ...spec.containers].map((container) => container.resources ?? {});
  const guaranteed = resources.every(({ limits = {}, requests = {} }) =>
    ['cpu', 'memory'].every((name) => limits[name] !== undefined && (requests[name] ?? limits[name]) === limits[name]),
  );
  const annotations = sortedMap({
    ...object.metadata.annotations,
    [QOS_ANNOTATION]: guaranteed ? 'Guaranteed' : 'Burstable',
  });
  return { ...object, metadata: { ...object.metadata, annotations } };
}
