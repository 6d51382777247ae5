import type { Instance } from './instance.ts';
import type { InstanceSpec } from './instance-record.ts';

/** The instances made from one spec that are not on their way out. */
export function currentOf(key: string, instances: readonly Instance[]): Instance[] {
  return instances.filter((instance) => instance.record.key === key && isCurrent(instance));
}

function isCurrent(instance: Instance): boolean {
  return instance.state !== 'draining' && instance.state !== 'gone';
}

/** Those that wait for nobody any more: what they need is ready. */
export function startable(instances: readonly Instance[]): Instance[] {
  const isReady = (release: number, name: string): boolean =>
    instances.some(
      (peer) => peer.state === 'ready' && peer.spec.release === release && peer.spec.process.name === name,
    );
  return instances.filter(
    (instance) =>
      instance.state === 'pending' &&
      (instance.spec.service?.needs ?? []).every((need) => isReady(instance.spec.release, need)),
  );
}

/**
 * Those that can go: what no spec wants, and what is too many. Of what is replaced within a release, the old
 * stays until one of the new is ready.
 */
export function dispensable(specs: readonly InstanceSpec[], instances: readonly Instance[]): Instance[] {
  const surplus = new Set(
    specs.flatMap((spec) => {
      const have = currentOf(spec.key, instances).sort((a, b) => rank(a) - rank(b));
      return have.slice(0, Math.max(0, have.length - spec.process.replicas));
    }),
  );
  return instances.filter((instance) => {
    if (!isCurrent(instance)) return false;
    if (specs.some((spec) => spec.key === instance.record.key)) return surplus.has(instance);
    const replacement = specs.find(
      (spec) => spec.release === instance.spec.release && spec.process.name === instance.spec.process.name,
    );
    if (replacement === undefined || replacement.process.replicas === 0 || instance.state !== 'ready') return true;
    return currentOf(replacement.key, instances).some((peer) => peer.state === 'ready');
  });
}

/** Who goes first when there are too many: what is furthest from ready. */
function rank(instance: Instance): number {
  const order = { gone: 0, draining: 0, failing: 1, pending: 2, starting: 3, ready: 4 };
  return order[instance.state];
}
