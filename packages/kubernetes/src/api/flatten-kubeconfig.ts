import { SlipwayError } from '@slipway/app';
import { stringify } from 'yaml';
import type { Mapping } from '../render/json-value.ts';
import { chosenContext, content } from './kubeconfig.ts';

/**
 * One context of a kubeconfig as a kubeconfig of its own, that needs no file beside it: for a control plane that runs elsewhere.
 *
 * @param file Default: the first file of `KUBECONFIG`, else `~/.kube/config`.
 * @param context Default: the current one.
 * @returns YAML, with the credentials in it.
 * @throws {SlipwayError} `mistake` when it only works on this computer: credentials from a program or from a file that somebody renews.
 */
export async function flattenKubeconfig(file: string | undefined, context: string | null): Promise<string> {
  const { file: path, cluster, user } = await chosenContext(file, context);
  for (const key of ['exec', 'tokenFile', 'auth-provider'])
    if (user[key] !== undefined)
      throw new SlipwayError(
        'mistake',
        `${path} signs in by ${key === 'exec' ? 'a program' : key} on this computer, which the control plane does not have.`,
        {
          hint: 'Give it a kubeconfig with a token of a service account: docs/kubernetes.md says how one is made.',
        },
      );
  const name = 'cluster';
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    contexts: [{ name, context: { cluster: name, user: name } }],
    clusters: [
      {
        name,
        cluster: {
          server: cluster['server'],
          ...(await inline(path, cluster, 'certificate-authority')),
          ...kept(cluster, ['insecure-skip-tls-verify', 'tls-server-name']),
        },
      },
    ],
    users: [
      {
        name,
        user: {
          ...(await inline(path, user, 'client-certificate')),
          ...(await inline(path, user, 'client-key')),
          ...kept(user, ['token']),
        },
      },
    ],
  });
}

async function inline(file: string, from: Mapping, key: string): Promise<Record<string, string>> {
  const data = await content(file, from, key);
  return data === null ? {} : { [`${key}-data`]: data.toString('base64') };
}

function kept(from: Mapping, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(keys.flatMap((key) => (from[key] === undefined ? [] : [[key, from[key]]])));
}
