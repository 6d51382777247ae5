import type { Metadata } from './kubernetes-object.ts';
import { sortedMap } from './kubernetes-object.ts';
import { labelOf } from './names.ts';

/** Whose objects they are. An engine deletes only what carries this mark. */
export const OWNER_LABEL = 'slipway.dev/environment';
export const MANAGER_LABEL = 'app.kubernetes.io/managed-by';
export const NAME_LABEL = 'app.kubernetes.io/name';
export const COMPONENT_LABEL = 'app.kubernetes.io/component';
export const LANE_LABEL = 'slipway.dev/lane';
export const RELEASE_LABEL = 'slipway.dev/release';

/** Both are on every object, and no patch takes them off. */
export const OWNER_LABELS: readonly string[] = [OWNER_LABEL, MANAGER_LABEL];

export interface Owner {
  app: string;
  environment: string;
  /** The namespace; also the value of the owner mark, because a label can't hold `APP/ENVIRONMENT`. */
  namespace: string;
}

/**
 * @param environment `APP/ENVIRONMENT`, as in a plan.
 * @param namespace Another one than its usual, which is still being deleted.
 */
export function ownerOf(environment: string, namespace?: string): Owner {
  const [app = '', name = ''] = environment.split('/');
  return { app, environment: name, namespace: namespace ?? labelOf([app, name]) };
}

/** Labels that every object has. */
export function ownerLabels(owner: Owner): Record<string, string> {
  return {
    'app.kubernetes.io/instance': owner.namespace,
    [MANAGER_LABEL]: 'slipway',
    'app.kubernetes.io/part-of': owner.app,
    [OWNER_LABEL]: owner.namespace,
  };
}

/** Metadata of an object in the environment's namespace. `labels` are added to those of the owner. */
export function metadata(
  owner: Owner,
  name: string,
  more: { labels?: Record<string, string>; annotations?: Record<string, string> } = {},
): Metadata {
  return {
    name,
    namespace: owner.namespace,
    labels: sortedMap({ [NAME_LABEL]: owner.app, ...ownerLabels(owner), ...more.labels }),
    annotations: sortedMap({ [OWNER_LABEL]: `${owner.app}/${owner.environment}`, ...more.annotations }),
  };
}
