import { randomBytes } from 'node:crypto';
import type { Manifest } from '@slipway/kubernetes';
import { fill, type Json } from './fill.ts';
import { objects } from './objects.ts';
import type { Values } from './values.ts';

/** What is installed under which name. */
export interface Installation {
  release: string;
  namespace: string;
  values: Values;
  /** The administrator's, unless a Secret was named. */
  adminToken: string;
}

/** As Helm's is in what Helm installs. */
export const MANAGER = 'slipway-install';

/** The objects of an installation, in the order in which they are applied, and before them the namespace, which Helm leaves to whoever installs. */
export function installed({ release, namespace, values, adminToken }: Installation): Manifest[] {
  // Without what is undefined, as in a file.
  const json: Json = JSON.parse(JSON.stringify(values));
  const filling = { release, namespace, adminToken, values: json, manager: MANAGER };
  const made = Object.values(objects)
    .map((template) => fill(template, filling))
    .filter((object) => object !== null);
  return [namespaceOf(namespace), ...made.map(asManifest)];
}

/** As good as those that the control plane makes. */
export function newAdminToken(): string {
  return `slw_${randomBytes(32).toString('base64url')}`;
}

/** The Secret of the administrator's token, if it is made by the installation. */
export function adminTokenSecret(release: string, namespace: string): Manifest {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name: `${release}-admin-token`, namespace } };
}

function namespaceOf(name: string): Manifest {
  const labels = {
    'pod-security.kubernetes.io/enforce': 'restricted',
    'pod-security.kubernetes.io/warn': 'restricted',
  };
  const metadata = { name, labels };
  return { apiVersion: 'v1', kind: 'Namespace', metadata };
}

function asManifest(object: Json): Manifest {
  if (isManifest(object)) return object;
  throw new Error(`${JSON.stringify(object)} is no object of Kubernetes`);
}

function isManifest(object: Json): object is Json & Manifest {
  return typeof object === 'object' && object !== null && 'kind' in object && 'metadata' in object;
}
