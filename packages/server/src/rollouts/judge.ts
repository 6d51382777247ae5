import type { EnvironmentStatus, Failure, InstanceStatus, PlannedRelease } from '@slipway/engine';

/** How often a process may end before it was ever ready, until a rollout gives up: once may be bad luck, three times is a crash loop. */
const crashesToGiveUp = 3;

export type Judgement = { state: 'ready' } | { state: 'failed'; reason: string; failure: Failure };

/**
 * Judges whether a starting release came up, from facts only.
 *
 * @returns undefined while it is too early to say.
 */
export function judgeStart(
  status: EnvironmentStatus | null,
  release: PlannedRelease,
  generation: number,
): Judgement | undefined {
  if (!status || status.generation < generation) return undefined;
  const instances = status.instances.filter((instance) => instance.release === release.number);
  for (const instance of instances) {
    // The failure stays visible while it is started again, so that none is missed between two statuses.
    if (instance.state === 'ready' || !instance.failure) continue;
    if (isHopeless(instance)) return failed(instance, instance.failure);
  }
  const wanted = [...release.services, ...release.workers];
  const enough = wanted.every(
    ({ name, replicas }) =>
      instances.filter((instance) => instance.name === name && instance.state === 'ready').length >= replicas,
  );
  return enough ? { state: 'ready' } : undefined;
}

function isHopeless(instance: InstanceStatus): boolean {
  switch (instance.failure?.code) {
    case 'crashed':
    case 'out-of-memory':
    case 'lost':
      return failures(instance) >= crashesToGiveUp;
    default:
      return true;
  }
}

function failures(instance: InstanceStatus): number {
  return instance.state === 'failing' ? instance.restarts + 1 : instance.restarts;
}

function failed(instance: InstanceStatus, failure: Failure): Judgement {
  const often = failures(instance) > 1 ? ` (${failures(instance)} times)` : '';
  return { state: 'failed', reason: `${instance.name}${often}: ${failure.message}`, failure };
}

/** True when new requests go to this release alone. */
export function servesAlone(status: EnvironmentStatus | null, release: number): boolean {
  return status !== null && status.traffic.length === 1 && status.traffic[0]?.release === release;
}
