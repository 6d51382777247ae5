import path from 'node:path';
import { createService, type AddOnOptions } from './add-on.ts';
import { startProgram } from './program.ts';
import type { Releases } from './releases.ts';

const PORT = 10_053;

/** Cluster DNS: the service `kube-dns` with the usual address, and a small server behind it. */
export async function startDns(options: AddOnOptions, releases: Releases): Promise<void> {
  const { node, kubeconfig, logs, addresses } = options;
  const server = startProgram({
    name: 'dns',
    program: process.execPath,
    args: [path.join(import.meta.dirname, 'dns-server.ts'), kubeconfig, node.address, String(PORT)],
    logs,
    inside: node.holder,
  });
  releases.add('stop the cluster DNS', () => server.stop());
  await createService(options, {
    name: 'kube-dns',
    clusterIP: addresses.dns,
    protocol: 'UDP',
    port: 53,
    programPort: PORT,
  });
}
