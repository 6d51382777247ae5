import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { CannotRun } from './cannot-run.ts';
import { command } from './command.ts';

/** What the cluster runs beside Kubernetes: a file that shows that it is installed -> the Debian package. */
const PACKAGES: Record<string, string> = {
  '/usr/bin/etcd': 'etcd-server',
  '/usr/bin/containerd': 'containerd',
  '/usr/sbin/runc': 'runc',
  '/usr/lib/cni/ptp': 'containernetworking-plugins',
  '/usr/sbin/nft': 'nftables',
  '/usr/sbin/iptables': 'iptables',
  '/usr/sbin/ipset': 'ipset',
  '/bin/busybox': 'busybox-static',
  '/usr/bin/docker-registry': 'docker-registry',
  '/usr/bin/openssl': 'openssl',
  '/sbin/ip': 'iproute2',
};
/** Debian asks this before it starts a service that it has just installed. */
const POLICY = '/usr/sbin/policy-rc.d';

/** @throws {CannotRun} when some are missing and can't be installed. */
export async function installPackages(progress: (step: string) => void): Promise<void> {
  const missing = Object.entries(PACKAGES).flatMap(([file, name]) => (existsSync(file) ? [] : [name]));
  if (missing.length === 0) return;
  if (!canInstall())
    throw new CannotRun(
      `not installed: ${missing.join(', ')}. On Debian or Ubuntu: sudo apt-get install --no-install-recommends ${missing.join(' ')}`,
    );
  progress(`installing ${missing.join(', ')}`);
  await install(missing);
}

/** Debian's Go, of whatever version. False when this user or this system can't install it. */
export async function installGo(): Promise<boolean> {
  if (!canInstall()) return false;
  await install(['golang-go']);
  return true;
}

function canInstall(): boolean {
  return process.getuid?.() === 0 && spawnSync('apt-get', ['--version']).status === 0;
}

async function install(names: string[]): Promise<void> {
  // Their services are not wanted: the cluster runs its own, in its own namespaces.
  const ownPolicy = !existsSync(POLICY);
  if (ownPolicy) await writeFile(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    await aptGetInstall(names);
  } catch (error) {
    throw new CannotRun(`${names.join(', ')} could not be installed: ${String(error)}`);
  } finally {
    if (ownPolicy) await rm(POLICY);
  }
}

async function aptGetInstall(names: string[]): Promise<void> {
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const args = ['install', '-y', '-qq', '--no-install-recommends', ...names];
  // Often the lists are there already; when they are not, or are old, they are fetched.
  await command('apt-get', args, { env, seconds: 600 }).catch(async () => {
    await command('apt-get', ['update', '-qq'], { env, seconds: 300 });
    await command('apt-get', args, { env, seconds: 600 });
  });
}
