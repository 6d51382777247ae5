import { waitFor } from '@slipway/testing';
import type { Api } from '@slipway/testing/cluster';
import { namespaceOf } from './plan.ts';

/** One thing that somebody did while nobody looked, and how it is seen to be undone. */
interface Drift {
  done: () => Promise<void>;
  isHealed: () => Promise<boolean>;
}

interface DeploymentLike {
  spec: { template: { spec: { terminationGracePeriodSeconds: number } } };
}

const GRACE_SECONDS = 77;

/** Four kinds of changes, in as many environments as there are numbers. */
export function driftOf(api: Api, numbers: readonly number[]): Drift[] {
  return numbers.map((number, index) => {
    const namespace = namespaceOf(number);
    const core = `/api/v1/namespaces/${namespace}`;
    const kinds: (() => Drift)[] = [
      () => deleted(api, `${core}/services/web--r1`),
      () => deleted(api, `/apis/networking.k8s.io/v1/namespaces/${namespace}/networkpolicies/default-deny`),
      () => deleted(api, `${core}/resourcequotas/fleet`),
      () => edited(api, `/apis/apps/v1/namespaces/${namespace}/deployments/web--r1`),
    ];
    const kind = kinds[index % kinds.length];
    if (kind === undefined) throw new Error('there is always one');
    return kind();
  });
}

/** Resolves when the API server says of each that it is as it was. */
export async function allHealed(drift: readonly Drift[]): Promise<void> {
  for (const one of drift)
    await waitFor(async () => await one.isHealed(), { what: 'what was changed to be set back', seconds: 300 });
}

function deleted(api: Api, path: string): Drift {
  return {
    done: async () => await api.delete(path),
    isHealed: async () => (await api.send('GET', path)).status === 200,
  };
}

function edited(api: Api, path: string): Drift {
  const spec = { template: { spec: { terminationGracePeriodSeconds: GRACE_SECONDS } } };
  return {
    done: async () => void (await api.patch(path, { spec })),
    isHealed: async () => {
      const { spec } = await api.get<DeploymentLike>(path);
      return spec.template.spec.terminationGracePeriodSeconds !== GRACE_SECONDS;
    },
  };
}
