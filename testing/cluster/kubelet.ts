import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Addresses } from './addresses.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import type { Node } from './node.ts';
import { certifyNode, type Identity, type Pki } from './pki.ts';
import { startProgram } from './program.ts';
import type { Releases } from './releases.ts';

export interface KubeletSurroundings {
  addresses: Addresses;
  /** Folder of Kubernetes' programs. */
  programs: string;
  logs: string;
  pki: Pki;
  server: string;
  /** Of containerd. */
  socket: string;
}

export async function startKubelet(node: Node, around: KubeletSurroundings, releases: Releases): Promise<void> {
  const file = (name: string) => path.join(node.folder, name);
  const identity = await certifyNode(around.pki.ca, node.name, node.address);
  await writeKubeconfig(file('kubelet.kubeconfig'), {
    server: around.server,
    ca: around.pki.ca.certificate,
    identity,
  });
  await writeFile(file('resolv.conf'), ''); // names outside of the cluster lead nowhere
  await writeFile(file('kubelet.json'), JSON.stringify(kubeletConfig(node, around, identity)));
  const kubelet = startProgram({
    name: `${node.name}-kubelet`,
    program: path.join(around.programs, 'kubelet'),
    args: [
      `--config=${file('kubelet.json')}`,
      `--kubeconfig=${file('kubelet.kubeconfig')}`,
      `--hostname-override=${node.name}`,
      `--node-ip=${node.address}`,
      `--root-dir=${file('kubelet')}`,
      `--cert-dir=${file('kubelet-pki')}`,
    ],
    logs: around.logs,
    inside: node.holder,
  });
  releases.add(`stop the kubelet of ${node.name}`, () => kubelet.stop());
}

function kubeletConfig(node: Node, { addresses, pki, socket }: KubeletSurroundings, identity: Identity): unknown {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: pki.ca.certificate },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: identity.certificate,
    tlsPrivateKeyFile: identity.key,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${node.cgroup}`,
    failCgroupV1: false,
    failSwapOn: false,
    containerRuntimeEndpoint: `unix://${socket}`,
    clusterDNS: [addresses.dns],
    clusterDomain: 'cluster.local',
    resolvConf: path.join(node.folder, 'resolv.conf'),
    podLogsDir: path.join(node.folder, 'pod-logs'),
    volumePluginDir: path.join(node.folder, 'volume-plugins'),
    // The disk and the memory are the machine's, and others use them too.
    evictionHard: { 'memory.available': '200Mi', 'nodefs.available': '2%', 'imagefs.available': '2%' },
    imageGCHighThresholdPercent: 100,
  };
}

/** Makes service addresses lead to pods, on every node. */
export async function startProxy(
  node: Node,
  around: Pick<KubeletSurroundings, 'addresses' | 'programs' | 'logs' | 'pki' | 'server'>,
  releases: Releases,
): Promise<void> {
  const kubeconfig = path.join(node.folder, 'kube-proxy.kubeconfig');
  await writeKubeconfig(kubeconfig, {
    server: around.server,
    ca: around.pki.ca.certificate,
    identity: around.pki.ca.identity('kube-proxy'),
  });
  const config = path.join(node.folder, 'kube-proxy.json');
  await writeFile(
    config,
    JSON.stringify({
      apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
      kind: 'KubeProxyConfiguration',
      mode: 'nftables',
      clientConnection: { kubeconfig },
      clusterCIDR: around.addresses.pods,
      hostnameOverride: node.name,
      // These sysctls can be written in the machine's first network namespace only.
      conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    }),
  );
  const proxy = startProgram({
    name: `${node.name}-kube-proxy`,
    program: path.join(around.programs, 'kube-proxy'),
    args: [`--config=${config}`],
    logs: around.logs,
    inside: node.holder,
  });
  releases.add(`stop kube-proxy of ${node.name}`, () => proxy.stop());
}
