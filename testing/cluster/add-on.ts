import type { Addresses } from './addresses.ts';
import type { Api } from './api.ts';
import type { Node } from './node.ts';
import type { Pki } from './pki.ts';

/** What an add-on is started with. Add-ons are programs on the first node, behind a service without a selector. */
export interface AddOnOptions {
  api: Api;
  addresses: Addresses;
  node: Node;
  /** Of a user who may do everything. */
  kubeconfig: string;
  logs: string;
  pki: Pki;
}

/** Makes a service of `kube-system` that leads to a program on a node. */
export async function createService(
  { api, node }: AddOnOptions,
  service: { name: string; clusterIP?: string; protocol: 'TCP' | 'UDP'; port: number; programPort: number },
): Promise<void> {
  const { name, clusterIP, protocol, port, programPort } = service;
  await api.create('/api/v1/namespaces/kube-system/services', {
    metadata: { name },
    spec: {
      ...(clusterIP === undefined ? {} : { clusterIP }),
      ports: [{ name: 'main', port, protocol, targetPort: programPort }],
    },
  });
  await api.create('/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices', {
    metadata: { name, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ name: 'main', port: programPort, protocol }],
    endpoints: [{ addresses: [node.address], conditions: { ready: true } }],
  });
}
