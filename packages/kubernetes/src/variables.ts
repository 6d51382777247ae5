import { createHmac } from 'node:crypto';
import type { PlannedRelease } from '@slipway/engine';
import type { IEnvFromSource } from 'kubernetes-models/v1';
import type { KubernetesObject } from './kubernetes-object.ts';
import { sortedMap } from './kubernetes-object.ts';
import { contentHash } from './names.ts';
import type { Owner } from './owner.ts';
import { metadata } from './owner.ts';

/**
 * Where secret variables are.
 *
 * | kind | means |
 * | --- | --- |
 * | values | they are known, and a Secret is made of them. The key keeps its name, which more people may read than it, from telling them by trial |
 * | existing | somebody else made a Secret of this name in the namespace; only its name is written |
 */
export type Secrets =
  | { kind: 'values'; values: Readonly<Record<string, string>>; key: string }
  | { kind: 'existing'; name: string };

/** Given to processes as a variable, but nothing that everybody may read. */
const SECRET_VARIABLES: readonly string[] = ['SLIPWAY_QUEUE_TOKEN'];

export interface Variables {
  objects: KubernetesObject[];
  /** What the containers of the release refer to. */
  sources: IEnvFromSource[];
}

/**
 * Config and secrets of a release. Each is named by its content and can't be changed: a pod that is started again later has what its release had, a
 * rollback finds the old one, and a new one rolls the pods by itself.
 */
export function releaseVariables(owner: Owner, release: PlannedRelease, secrets: Secrets | null): Variables {
  const all = Object.entries(sortedMap(release.variables));
  const open = all.filter(([name]) => !SECRET_VARIABLES.includes(name));
  const hidden = all.filter(([name]) => SECRET_VARIABLES.includes(name));
  const objects: KubernetesObject[] = [];
  const sources: IEnvFromSource[] = [];
  if (open.length > 0) {
    const data = Object.fromEntries(open);
    const name = `config-${contentHash(data)}`;
    objects.push({ apiVersion: 'v1', kind: 'ConfigMap', metadata: metadata(owner, name), immutable: true, data });
    sources.push({ configMapRef: { name } });
  }
  const values = sortedMap({ ...Object.fromEntries(hidden), ...(secrets?.kind === 'values' ? secrets.values : {}) });
  if (Object.keys(values).length > 0) {
    const key = secrets?.kind === 'values' ? secrets.key : '';
    const name = `secrets-${createHmac('sha256', key).update(JSON.stringify(values)).digest('hex').slice(0, 10)}`;
    objects.push({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: metadata(owner, name),
      type: 'Opaque',
      immutable: true,
      data: Object.fromEntries(
        Object.entries(values).map(([variable, value]) => [variable, Buffer.from(value).toString('base64')]),
      ),
    });
    sources.push({ secretRef: { name } });
  }
  if (secrets?.kind === 'existing') sources.push({ secretRef: { name: secrets.name } });
  return { objects, sources };
}
