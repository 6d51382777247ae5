import { cp, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import { CannotRun } from './cannot-run.ts';
import { command } from './command.ts';
import { builtProgram, requiredVersion, type GoProgram } from './go-program.ts';
import { installPackages } from './packages.ts';

/** Programs that a cluster is made of. */
export interface Parts {
  /** Folder with kube-apiserver, kubelet and the others: links to one program that acts by its name. */
  programs: string;
  /** The program of the pause image. */
  pause: string;
  /** Folder with `traefik` and the definitions `crds/*.yaml` of the Gateway API; or why there is none. */
  gateway: string | CannotRun;
  /** Folder with `kube-router`, which enforces network policies; or why there is none. */
  networkPolicies: string | CannotRun;
  /** Folder with `helm`, which installs charts; or why there is none. */
  helm: string | CannotRun;
}

/** What a cluster has beyond Kubernetes itself, DNS and metrics: everything, or nothing. */
export type Extent = 'full' | 'plain';

const COMPONENTS = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kube-proxy', 'kubectl'];

/**
 * Installs and builds what is missing.
 *
 * @param extent `plain`: without a gateway, enforced network policies and Helm, which then need not be built.
 * @throws {CannotRun} when a part that every cluster needs can't be had on this machine.
 */
export async function preparedParts(progress: (step: string) => void, extent: Extent = 'full'): Promise<Parts> {
  await installPackages(progress);
  const programs = await builtProgram(await kubernetes(), progress);
  const optional = async (program: GoProgram) => {
    if (extent === 'plain') return new CannotRun('a plain cluster was asked for');
    return builtProgram(program, progress).catch((error: unknown) => {
      if (error instanceof CannotRun) return error;
      throw error;
    });
  };
  return {
    programs,
    pause: path.join(programs, 'pause'),
    gateway: await optional(await traefik()),
    networkPolicies: await optional(await kubeRouter()),
    helm: await optional(await helm()),
  };
}

async function kubernetes(): Promise<GoProgram> {
  const sources = path.join(import.meta.dirname, 'kubernetes');
  const version = await requiredVersion(sources, 'k8s.io/kubernetes');
  const [gitMajor = '', gitMinor = ''] = version.slice(1).split('.');
  const set = { gitVersion: version, gitMajor, gitMinor };
  const variables = Object.fromEntries(
    Object.entries(set).map(([name, value]) => [`k8s.io/component-base/version.${name}`, value]),
  );
  return {
    name: 'kubernetes',
    version,
    sources,
    files: ['main.go', 'go.mod', 'go.sum', 'pause/main.go'],
    takes: 'about 15 minutes',
    async build(go, target) {
      await go.download(sources);
      await go.build(sources, { output: path.join(target, 'kubernetes'), what: '.', variables });
      await go.build(sources, { output: path.join(target, 'pause'), what: './pause' });
      for (const name of COMPONENTS) await symlink('kubernetes', path.join(target, name));
    },
  };
}

const LEGO = 'github.com/go-acme/lego/v5@v5.4.1';

async function traefik(): Promise<GoProgram> {
  const sources = path.join(import.meta.dirname, 'traefik');
  return {
    name: 'traefik',
    version: await requiredVersion(sources, 'github.com/traefik/traefik/v3'),
    sources,
    files: ['go.mod', 'go.sum', 'ext/go.mod', 'ext/ext.go', 'lego/dns_providers.go'],
    takes: 'about 5 minutes',
    async build(go, target) {
      const work = path.join(target, 'sources');
      await cp(sources, work, { recursive: true });
      const lego = await go.download(target, LEGO);
      await copyWritable(lego, path.join(work, 'lego'));
      const providers = path.join(work, 'lego', 'providers', 'dns');
      await rm(providers, { recursive: true });
      await cp(path.join(sources, 'lego'), providers, { recursive: true });
      await go.download(work);
      await go.build(work, {
        output: path.join(target, 'traefik'),
        what: 'github.com/traefik/traefik/v3/cmd/traefik',
      });
      const gateway = await go.download(work, 'sigs.k8s.io/gateway-api');
      await copyWritable(path.join(gateway, 'config', 'crd', 'standard'), path.join(target, 'crds'));
      await rm(work, { recursive: true });
    },
  };
}

/** A program that is built as its authors publish it. */
async function published(name: string, module: string, takes: string): Promise<GoProgram> {
  const sources = path.join(import.meta.dirname, name);
  return {
    name,
    version: await requiredVersion(sources, module),
    sources,
    files: ['go.mod', 'go.sum'],
    takes,
    async build(go, target) {
      await go.download(sources);
      await go.build(sources, { output: path.join(target, name), what: `${module}/cmd/${name}` });
    },
  };
}

const kubeRouter = () => published('kube-router', 'github.com/cloudnativelabs/kube-router/v2', 'about 4 minutes');
const helm = () => published('helm', 'helm.sh/helm/v3', 'about 4 minutes');

/** Modules in Go's cache can't be written to, and copies of their folders neither. */
async function copyWritable(from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await command('cp', ['--recursive', '--no-preserve=mode', from, to]);
}
