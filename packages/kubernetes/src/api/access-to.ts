import type { ClusterAccess } from './access.ts';
import { inCluster } from './in-cluster.ts';
import { parseKubeconfig } from './kubeconfig.ts';

/** How a cluster is reached, as a text that can be kept. */
export interface ClusterCredentials {
  /** What the cluster is called, for errors. */
  name: string;
  /** A kubeconfig that needs no file beside it; null: the cluster that this process runs in. */
  kubeconfig: string | null;
}

/** @throws {SlipwayError} `mistake` when it is no kubeconfig, or this process runs in no cluster. */
export async function accessTo({ name, kubeconfig }: ClusterCredentials): Promise<ClusterAccess> {
  return kubeconfig === null ? await inCluster() : await parseKubeconfig(kubeconfig, `The kubeconfig of ${name}`);
}
