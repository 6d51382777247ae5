import { readFile, writeFile } from 'node:fs/promises';
import type { Identity } from './pki.ts';

/** Writes a kubeconfig (JSON is YAML too) that needs no other file. */
export async function writeKubeconfig(
  file: string,
  to: { server: string; ca: string; identity: Identity },
): Promise<void> {
  const base64 = async (name: string) => (await readFile(name)).toString('base64');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'slipway-test',
    contexts: [{ name: 'slipway-test', context: { cluster: 'slipway-test', user: 'slipway-test' } }],
    clusters: [
      { name: 'slipway-test', cluster: { server: to.server, 'certificate-authority-data': await base64(to.ca) } },
    ],
    users: [
      {
        name: 'slipway-test',
        user: {
          'client-certificate-data': await base64(to.identity.certificate),
          'client-key-data': await base64(to.identity.key),
        },
      },
    ],
  };
  await writeFile(file, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 });
}
