import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Addresses } from './addresses.ts';
import { command } from './command.ts';
import type { Node } from './node.ts';
import { startProgram } from './program.ts';
import type { Releases } from './releases.ts';

export const PAUSE_IMAGE = 'slipway.test/pause:1';
const CNI_PROGRAMS = '/usr/lib/cni';

/** @returns Its socket. */
export async function startContainerd(
  node: Node,
  { addresses, logs }: { addresses: Addresses; logs: string },
  releases: Releases,
): Promise<string> {
  const socket = socketOf(node.folder);
  const cni = path.join(node.folder, 'cni');
  await mkdir(cni);
  await writeFile(path.join(cni, '10-slipway.conflist'), JSON.stringify(network(addresses.podsOf(node.number))));
  const config = path.join(node.folder, 'containerd.toml');
  await writeFile(config, containerdConfig({ node, socket, cni, snapshotter: await snapshotterFor(node.folder) }));
  const containerd = startProgram({
    name: `${node.name}-containerd`,
    program: 'containerd',
    args: ['--config', config],
    logs,
    inside: node.holder,
  });
  releases.add(`stop containerd of ${node.name}`, () => containerd.stop());
  await containerd.until(() => ctr(socket, 'version'), `containerd of ${node.name} answers`, 30);
  return socket;
}

export function socketOf(nodeFolder: string): string {
  return path.join(nodeFolder, 'containerd.sock');
}

/** Runs containerd's own client on the images and containers of Kubernetes. */
export function ctr(socket: string, ...args: string[]): Promise<string> {
  return command('ctr', ['--address', socket, '--namespace', 'k8s.io', ...args]);
}

/** Ends every container, so that nothing is mounted or running when containerd stops. */
export async function endContainers(socket: string): Promise<void> {
  const tasks = (await ctr(socket, 'tasks', 'list', '--quiet')).split('\n').filter(Boolean);
  await Promise.all(
    tasks.map((task) => ctr(socket, 'tasks', 'delete', '--force', task).catch(() => undefined)), // it has ended by itself
  );
}

/**
 * Every pod has a link of its own to its node, and everything between pods is routed: unlike on a bridge, translated packets between two pods of one node
 * come back the way they went.
 */
function network(pods: string): unknown {
  return {
    cniVersion: '0.4.0',
    name: 'slipway',
    plugins: [
      {
        type: 'ptp',
        ipMasq: false,
        ipam: { type: 'host-local', ranges: [[{ subnet: pods }]], routes: [{ dst: '0.0.0.0/0' }] },
      },
      { type: 'portmap', capabilities: { portMappings: true }, snat: true },
    ],
  };
}

function containerdConfig(of: { node: Node; socket: string; cni: string; snapshotter: string }): string {
  const { folder } = of.node;
  return `version = 2
root = "${folder}/containerd"
state = "${folder}/containerd-state"
[grpc]
  address = "${of.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  # Root without CAP_SYS_RESOURCE can't lower the score, and no sandbox would start.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "${of.snapshotter}"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${CNI_PROGRAMS}"
    conf_dir = "${of.cni}"
`;
}

/** An overlay can't lie on an overlay, which is what a folder is when all of this runs in a container. */
async function snapshotterFor(folder: string): Promise<string> {
  const type = (await command('stat', ['--file-system', '--format', '%T', folder])).trim();
  return type === 'overlayfs' ? 'native' : 'overlayfs';
}
