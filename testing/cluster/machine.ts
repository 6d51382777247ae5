import os from 'node:os';
import { CannotRun } from './cannot-run.ts';
import { mountedHierarchies } from './cgroups.ts';
import { command } from './command.ts';

/**
 * Whether this machine lets us make what nodes are made of. Asked before anything is built, which takes minutes.
 *
 * @throws {CannotRun} that says what is missing.
 */
export async function checkMachine(): Promise<void> {
  if (os.platform() !== 'linux')
    throw new CannotRun('nodes need Linux; SLIPWAY_TEST_KUBECONFIG can name a cluster elsewhere');
  if (process.getuid?.() !== 0) throw new CannotRun('nodes need root (for namespaces, mounts and control groups)');
  const hierarchies = await mountedHierarchies();
  if (hierarchies.length === 0) throw new CannotRun('no control groups are mounted on this machine');
  await probe(
    [
      'mount -t tmpfs tmpfs /mnt',
      'ip link add name probe type bridge',
      'ip link add name probe-a type veth peer name probe-b',
    ],
    'namespaces with mounts and links of their own are not allowed here (in a container it must be a privileged one)',
  );
  await probe(['echo 1 > /proc/sys/net/ipv4/ip_forward'], '/proc/sys can not be written here');
  for (const { folder } of hierarchies)
    await probe(
      [`mkdir ${folder}/slipway-probe-$$`, `rmdir ${folder}/slipway-probe-$$`],
      `no control group can be made in ${folder}`,
    );
}

async function probe(script: string[], meaning: string): Promise<void> {
  const lines = ['set -e', ...script].join('\n');
  await command('unshare', ['-n', '-m', '--propagation', 'private', '--', 'sh', '-c', lines]).catch(
    (error: unknown) => {
      throw new CannotRun(`${meaning}: ${String(error).split('\n').at(-1)}`);
    },
  );
}
