import type { App, Lane } from '@slipway/app';
import type { Plan } from '@slipway/engine';
import { planRelease } from './plan-release.ts';

export interface PlanOptions {
  /** Name of the environment, `pr-12` for that of a pull request. */
  environment: string;
  commit: string;
  /** Config of the environment. */
  config: Readonly<Record<string, string>>;
  hosts: readonly string[];
  /** Largest size that an attempt of a worker may have; null: no limit. */
  ceiling: { cpu: number | null; memory: number | null };
  /** What runs for an image of `slipway.yaml`: the same with its digest. Those that are missing stay as they are. */
  images: ReadonlyMap<string, string>;
}

/**
 * The plan of an environment that runs one commit of an app, made from its file alone: no control plane has numbered a release or decided
 * how many workers there should be.
 *
 * @throws {SlipwayError} `mistake` when something has no image.
 */
export function planApp(app: App, options: PlanOptions): Plan {
  const { environment, commit, config, images } = options;
  return {
    environment: `${app.app}/${environment}`,
    generation: 1,
    hosts: [...options.hosts],
    sleepSeconds: null,
    tasks: 'none',
    releases: [
      planRelease(app, {
        environment,
        number: 1,
        commit,
        weight: 100,
        variables: config,
        images,
        lane: (name, lane) => declaredLane(app, name, lane, options.ceiling),
        jobs: 'all',
      }),
    ],
  };
}

/** A lane as it is declared, within the ceiling. A range of replicas is for somebody else to decide. */
function declaredLane(
  app: App,
  name: string,
  lane: 'normal' | 'fallback',
  ceiling: PlanOptions['ceiling'],
): Lane & { replicas: number | null } {
  const worker = app.workers[name];
  if (worker === undefined) throw new Error(`the app has no worker ${name}`);
  const { min, max } = worker.replicas;
  const declared = lane === 'fallback' ? (worker.fallback ?? worker.normal) : worker.normal;
  return {
    ...declared,
    cpu: Math.min(declared.cpu, ceiling.cpu ?? Infinity),
    memory: Math.min(declared.memory, ceiling.memory ?? Infinity),
    replicas: min === max ? min : null,
  };
}
