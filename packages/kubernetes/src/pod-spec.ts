import type { IPodSpec } from 'kubernetes-models/v1';
import type { KubernetesObject } from './kubernetes-object.ts';

/** The pods that an object makes; null when it makes none. */
export function podSpecOf(object: KubernetesObject): IPodSpec | null {
  return templateOf(object)?.spec ?? null;
}

/** Labels of the pods that an object makes. */
export function podLabelsOf(object: KubernetesObject): Readonly<Record<string, string>> | null {
  const template = templateOf(object);
  return template === null ? null : (template.metadata?.labels ?? {});
}

function templateOf(object: KubernetesObject) {
  switch (object.kind) {
    case 'Deployment':
    case 'Job':
      return object.spec?.template ?? null;
    case 'CronJob':
      return object.spec.jobTemplate.spec?.template ?? null;
    default:
      return null;
  }
}
