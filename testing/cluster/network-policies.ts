import path from 'node:path';
import type { Addresses } from './addresses.ts';
import type { Node } from './node.ts';
import { startProgram } from './program.ts';
import type { Releases } from './releases.ts';

/** Enforces NetworkPolicies on one node: kube-router, of which nothing else is used. */
export function startNetworkPolicies(
  parts: string,
  node: Node,
  { addresses, kubeconfig, logs }: { addresses: Addresses; kubeconfig: string; logs: string },
  releases: Releases,
): void {
  const router = startProgram({
    name: `${node.name}-kube-router`,
    program: path.join(parts, 'kube-router'),
    args: [
      '--run-firewall=true',
      '--run-router=false',
      '--run-service-proxy=false',
      `--kubeconfig=${kubeconfig}`,
      `--hostname-override=${node.name}`,
      `--service-cluster-ip-range=${addresses.services}`,
      '--health-port=0',
    ],
    logs,
    inside: node.holder,
  });
  releases.add(`stop kube-router of ${node.name}`, () => router.stop());
}
