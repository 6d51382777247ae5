import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { SlipwayError } from '@slipway/app';
import type { ClusterAccess } from './access.ts';
import { tokenFile } from './token-file.ts';

/** Where the kubelet puts what a pod's service account is. */
const FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * The cluster in which this process runs as a pod.
 *
 * @throws {SlipwayError} `mistake` outside of a pod, or in one without a service account's token.
 */
export async function inCluster(environment: NodeJS.ProcessEnv = process.env, folder = FOLDER): Promise<ClusterAccess> {
  const [host, port = '443'] = [environment['KUBERNETES_SERVICE_HOST'], environment['KUBERNETES_SERVICE_PORT']];
  if (host === undefined)
    throw new SlipwayError('mistake', 'This process does not run in a pod, so it needs a kubeconfig', {
      hint: 'Name one: slipway cluster add NAME --kubeconfig FILE',
    });
  const authority = host.includes(':') ? `[${host}]` : host;
  try {
    return {
      server: new URL(`https://${authority}:${port}`),
      ca: await readFile(path.join(folder, 'ca.crt')),
      verification: 'required',
      serverName: null,
      identity: tokenFile(path.join(folder, 'token')),
    };
  } catch (error) {
    throw new SlipwayError('mistake', `This pod has no service-account token in ${folder}`, { cause: error });
  }
}
