import { networkInterfaces } from 'node:os';
import type { GivenCluster } from './given-cluster.ts';

const GATEWAY = { namespace: 'gateway', name: 'gateway' };

/** How requests come into the cluster of the tests, and how its pods reach this machine. */
export interface TestGateway {
  gateway: { namespace: string; name: string };
  /** Networks from which its requests come: Traefik runs on a node, and in no pod. */
  sources: string[];
  /** Where it answers, at port 80. */
  address: string;
  /** Address of this machine in the network of the nodes. */
  machine: string;
}

/** Makes the Gateway by which the tests of apps are reached; one for all of them. Only for `ours`. */
export async function testGateway({ api }: GivenCluster): Promise<TestGateway> {
  const { namespace, name } = GATEWAY;
  await api.apply(`/api/v1/namespaces/${namespace}`, {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: namespace },
  });
  await api.apply(`/apis/gateway.networking.k8s.io/v1/namespaces/${namespace}/gateways/${name}`, {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { name, namespace },
    spec: {
      gatewayClassName: 'traefik',
      listeners: [{ name: 'web', port: 80, protocol: 'HTTP', allowedRoutes: { namespaces: { from: 'All' } } }],
    },
  });
  const node = api.server.hostname;
  return {
    gateway: GATEWAY,
    sources: [`${node.replace(/\d+$/, '0')}/24`],
    address: node,
    machine: addressBeside(node),
  };
}

function addressBeside(other: string): string {
  const network = other.replace(/\d+$/, '');
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const found = own.find(({ address, family }) => family === 'IPv4' && address.startsWith(network));
  if (found === undefined) throw new Error(`this machine has no address beside ${other}`);
  return found.address;
}
