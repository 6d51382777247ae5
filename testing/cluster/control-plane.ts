import path from 'node:path';
import type { Addresses } from './addresses.ts';
import type { Api } from './api.ts';
import { auditArguments } from './callers.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import { etcdOf, type Node } from './node.ts';
import type { Pki } from './pki.ts';
import { startProgram, type Program } from './program.ts';
import type { Releases } from './releases.ts';

export interface ControlPlaneOptions {
  addresses: Addresses;
  folder: string;
  logs: string;
  pki: Pki;
  programs: string;
  /** The control plane runs here. */
  node: Node;
}

const ETCD = 'http://127.0.0.1:2379';

/** Starts etcd and the API server. Controllers and the scheduler follow once it answers: {@link startControllers}. */
export async function startApiServer(options: ControlPlaneOptions, releases: Releases): Promise<Program> {
  const { addresses, pki, node } = options;
  run(options, releases, 'etcd', 'etcd', [
    `--data-dir=${etcdOf(node.folder)}`,
    `--listen-client-urls=${ETCD}`,
    `--advertise-client-urls=${ETCD}`,
    '--listen-peer-urls=http://127.0.0.1:2380',
  ]);
  const { certificate, key } = pki.ca.identity('apiserver');
  const kubelet = pki.ca.identity('apiserver-kubelet-client');
  const frontProxy = pki.frontProxyCa.identity('front-proxy-client');
  return run(options, releases, 'kube-apiserver', path.join(options.programs, 'kube-apiserver'), [
    `--advertise-address=${node.address}`,
    '--secure-port=6443',
    '--allow-privileged=true',
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--enable-aggregator-routing=true',
    // Logs that tell stdout from stderr: alpha in 1.36.
    '--feature-gates=PodLogsQuerySplitStreams=true',
    `--etcd-servers=${ETCD}`,
    ...(await auditArguments(options.folder, options.logs)),
    `--client-ca-file=${pki.ca.certificate}`,
    `--tls-cert-file=${certificate}`,
    `--tls-private-key-file=${key}`,
    `--kubelet-certificate-authority=${pki.ca.certificate}`,
    `--kubelet-client-certificate=${kubelet.certificate}`,
    `--kubelet-client-key=${kubelet.key}`,
    '--kubelet-preferred-address-types=InternalIP',
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-account-key-file=${pki.serviceAccounts.publicKey}`,
    `--service-account-signing-key-file=${pki.serviceAccounts.privateKey}`,
    `--service-cluster-ip-range=${addresses.services}`,
    `--requestheader-client-ca-file=${pki.frontProxyCa.certificate}`,
    '--requestheader-allowed-names=front-proxy-client',
    '--requestheader-extra-headers-prefix=X-Remote-Extra-',
    '--requestheader-group-headers=X-Remote-Group',
    '--requestheader-username-headers=X-Remote-User',
    `--proxy-client-cert-file=${frontProxy.certificate}`,
    `--proxy-client-key-file=${frontProxy.key}`,
  ]);
}

export async function startControllers(
  options: ControlPlaneOptions & { server: string },
  releases: Releases,
): Promise<void> {
  const { pki, programs } = options;
  const ca = pki.ca.identity('ca');
  const controllers = await kubeconfigArguments(options, 'kube-controller-manager');
  run(options, releases, 'kube-controller-manager', path.join(programs, 'kube-controller-manager'), [
    ...controllers,
    `--root-ca-file=${ca.certificate}`,
    `--cluster-signing-cert-file=${ca.certificate}`,
    `--cluster-signing-key-file=${ca.key}`,
    `--service-account-private-key-file=${pki.serviceAccounts.privateKey}`,
    '--use-service-account-credentials=true',
    '--allocate-node-cidrs=false',
  ]);
  run(options, releases, 'kube-scheduler', path.join(programs, 'kube-scheduler'), [
    ...(await kubeconfigArguments(options, 'kube-scheduler')),
  ]);
}

/** What Kubernetes' own roles leave to the one who installs it. */
export async function allowProxies(api: Api): Promise<void> {
  await api.create('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    metadata: { name: 'kube-proxy' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'system:node-proxier' },
    subjects: [{ kind: 'User', name: 'system:kube-proxy' }],
  });
}

async function kubeconfigArguments(
  { folder, pki, server }: ControlPlaneOptions & { server: string },
  name: string,
): Promise<string[]> {
  const file = path.join(folder, `${name}.kubeconfig`);
  await writeKubeconfig(file, { server, ca: pki.ca.certificate, identity: pki.ca.identity(name) });
  const options = ['kubeconfig', 'authentication-kubeconfig', 'authorization-kubeconfig'];
  return [...options.map((option) => `--${option}=${file}`), '--bind-address=127.0.0.1', '--leader-elect=false'];
}

function run(
  { logs, node }: ControlPlaneOptions,
  releases: Releases,
  name: string,
  program: string,
  args: string[],
): Program {
  const started = startProgram({ name, program, args, logs, of: node, inside: node });
  releases.add(`stop ${name}`, () => started.stop());
  return started;
}
