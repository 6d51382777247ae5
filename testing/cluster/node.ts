import { existsSync } from 'node:fs';
import { mkdir, readlink, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Addresses } from './addresses.ts';
import { bridgesOfClusters, routeTo } from './bridge.ts';
import { makeCgroups } from './cgroups.ts';
import { command } from './command.ts';
import { endMembers, type NodeRecord } from './members.ts';
import { enter, startProgram } from './program.ts';
import type { Releases } from './releases.ts';

/** A node before anything of Kubernetes runs on it: namespaces of its own for network and mounts, and control groups. */
export interface Node {
  number: number;
  name: string;
  address: string;
  /** Its state and configuration. */
  folder: string;
  /** The process that keeps the namespaces; what belongs to the node enters them. */
  holder: number;
  /** Its folder in every hierarchy of control groups. */
  cgroup: string;
}

/** Places that containerd, the CNI plugins and the kubelet insist on; each node sees an empty folder of its own there. */
const OWN_FOLDERS = ['/run/netns', '/run/containerd', '/var/lib/cni', '/var/lib/kubelet', '/var/log/containers'];

/** @param folder State of the whole cluster. */
export async function makeNode(
  number: number,
  { addresses, folder, nodes }: { addresses: Addresses; folder: string; nodes: number },
  releases: Releases,
): Promise<Node> {
  const name = `node${number}`;
  const node: Omit<Node, 'holder'> = {
    number,
    name,
    address: addresses.node(number),
    folder: path.join(folder, name),
    cgroup: `${path.basename(folder)}-${name}`, // of this run only, so that what removes it can't meet another's
  };
  await mkdir(node.folder);
  await makeCgroups(node.cgroup, releases);
  const holder = await holdNamespaces(node, path.join(folder, 'logs'), releases);
  await connect(holder, node, { addresses, nodes });
  return { ...node, holder };
}

/** Call it before any node is made: a folder that is removed here is unmounted in the nodes of every cluster. */
export async function makeMountPoints(releases: Releases): Promise<void> {
  for (const folder of OWN_FOLDERS) {
    if (existsSync(folder)) continue;
    await mkdir(folder, { recursive: true });
    releases.add(`remove ${folder}`, async () => {
      if ((await bridgesOfClusters()).length === 0) await rmdir(folder);
    });
  }
}

async function holdNamespaces(node: Omit<Node, 'holder'>, logs: string, releases: Releases): Promise<number> {
  const script = [
    'set -e',
    'mount --make-rshared /', // volumes that the kubelet mounts must be seen by containerd
    ...OWN_FOLDERS.map((folder) => `mount -t tmpfs -o mode=0755 tmpfs ${folder}`),
    'ip link set lo up',
    'echo 1 > /proc/sys/net/ipv4/ip_forward',
    `touch ${path.join(node.folder, 'held')}`,
    'exec sleep infinity',
  ].join('\n');
  const holder = startProgram({
    name: `${node.name}-holder`,
    program: 'unshare',
    args: ['-n', '-m', '--propagation', 'private', '--', 'sh', '-c', script],
    logs,
  });
  releases.add(`end ${node.name}`, () => holder.stop('SIGKILL'));
  await holder.until(() => existsSync(path.join(node.folder, 'held')), `the namespaces of ${node.name}`, 20);
  const record: NodeRecord = { mountNamespace: await readlink(`/proc/${holder.pid}/ns/mnt`), cgroup: node.cgroup };
  await writeFile(path.join(node.folder, 'record.json'), JSON.stringify(record));
  releases.add(`end what is left of ${node.name}`, () => endMembers(record, { except: holder.pid }));
  return holder.pid;
}

async function connect(
  holder: number,
  node: Omit<Node, 'holder'>,
  { addresses, nodes }: { addresses: Addresses; nodes: number },
): Promise<void> {
  const end = `${addresses.bridge}-${node.number}`;
  await command('ip', ['link', 'add', end, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(holder)]);
  await command('ip', ['link', 'set', end, 'master', addresses.bridge, 'up']);
  const inside = (...args: string[]) => command('nsenter', [...enter(holder), 'ip', ...args]);
  await inside('address', 'add', `${node.address}/24`, 'dev', 'eth0');
  await inside('link', 'set', 'eth0', 'up');
  // No default route: nothing of the cluster can leave the machine. The API server looks for services here before they are translated.
  await inside('route', 'add', addresses.services, 'dev', 'eth0');
  for (let other = 1; other <= nodes; other += 1)
    if (other !== node.number)
      await inside('route', 'add', addresses.podsOf(other), 'via', addresses.node(other), 'dev', 'eth0');
  await routeTo(addresses, node.number);
}
