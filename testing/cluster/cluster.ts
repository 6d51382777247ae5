import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { waitFor } from '../src/wait-for.ts';
import { clusterFolders, markOwner, PREFIX, removeAbandonedClusters, SYSCTLS } from './abandoned.ts';
import type { Addresses } from './addresses.ts';
import { Api } from './api.ts';
import { makeBridge } from './bridge.ts';
import { endContainers, startContainerd } from './containerd.ts';
import { allowProxies, startApiServer, startControllers, type ControlPlaneOptions } from './control-plane.ts';
import { startDns } from './dns.ts';
import { startGateway } from './gateway.ts';
import { buildNodeImage, buildPauseImage, importImage } from './images.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import { startKubelet, startProxy } from './kubelet.ts';
import { startMetrics } from './metrics.ts';
import { startNetworkPolicies } from './network-policies.ts';
import { makeMountPoints, makeNode, type Node } from './node.ts';
import type { Parts } from './parts.ts';
import { makePki } from './pki.ts';
import { startRegistry } from './registry.ts';
import { Releases } from './releases.ts';
import { keepSysctls } from './sysctls.ts';

/** `gateway`: the Gateway API at port 80 of the first node, class `traefik`. `network policies`: enforced. */
export type Feature = 'gateway' | 'network policies';

/** In the cluster's folder: how images are given to it. */
export const NODES_FILE = 'nodes.json';
export interface NodesFile {
  /** Of each node's containerd. */
  sockets: string[];
  /** Address of the registry. */
  registry: string;
}

export interface ClusterOptions {
  parts: Parts;
  /** 1 or more. The first one has the control plane too. */
  nodes: number;
  /** Hears what is done, for the one who waits. */
  progress?: (step: string) => void;
}

/** A real Kubernetes cluster on this machine; nothing of it can be reached from elsewhere, nor reach anything else. */
export class TestCluster {
  readonly #options: ClusterOptions;
  readonly #releases = new Releases();
  #folder = '';
  #starting: Promise<void> | undefined;

  constructor(options: ClusterOptions) {
    this.#options = options;
  }

  /** State and logs; gone after `stop`. */
  get folder(): string {
    return this.#folder;
  }

  /** What this cluster has beyond the least. */
  get features(): Feature[] {
    const { gateway, networkPolicies } = this.#options.parts;
    return [
      ...(typeof gateway === 'string' ? ['gateway' as const] : []),
      ...(typeof networkPolicies === 'string' ? ['network policies' as const] : []),
    ];
  }

  /** Folders of programs for people and tests: kubectl and, where it could be built, helm. */
  get tools(): string[] {
    const { programs, helm } = this.#options.parts;
    return typeof helm === 'string' ? [programs, helm] : [programs];
  }

  /** Of a user who may do everything. */
  get kubeconfig(): string {
    return path.join(this.#folder, 'admin.kubeconfig');
  }

  /**
   * Returns when all nodes are Ready. A start that fails stops what it had started.
   *
   * @throws {Error} that says which part failed, with the end of its log.
   */
  async start(): Promise<void> {
    this.#starting = this.#start();
    try {
      await this.#starting;
    } catch (error) {
      await this.stop().catch((second: unknown) => {
        throw new AggregateError([error, second], `${String(error)}\nand then: ${String(second)}`, { cause: error });
      });
      throw error;
    }
  }

  /** Ends and removes everything that `start` has made. Fine before `start`, during it, and twice. */
  async stop(): Promise<void> {
    this.#releases.close();
    await this.#releases.run();
    await this.#starting?.catch(() => undefined);
    await this.#releases.run(); // what a start has made meanwhile
  }

  async #start(): Promise<void> {
    const { parts, nodes: count } = this.#options;
    const say = this.#options.progress ?? (() => undefined);
    const releases = this.#releases;
    await removeAbandonedClusters();
    await this.#makeFolder();
    await makeMountPoints(releases);
    const addresses = await makeBridge(path.basename(this.#folder), releases);
    const others = (await clusterFolders()).filter((folder) => folder !== this.#folder);
    await keepSysctls(
      path.join(this.#folder, SYSCTLS),
      others.map((folder) => path.join(folder, SYSCTLS)),
      releases,
    );
    say(`making ${count === 1 ? 'one node' : `${count} nodes`} on ${addresses.bridge}`);
    const around = { addresses, folder: this.#folder, nodes: count };
    const first = await makeNode(1, around, releases);
    const nodes: [Node, ...Node[]] = [first];
    for (let number = 2; number <= count; number += 1) nodes.push(await makeNode(number, around, releases));

    const [registry, pki, archives, sockets] = await Promise.all([
      startRegistry(nodes, { folder: this.#folder, logs: this.#logs }, releases),
      makePki(path.join(this.#folder, 'pki'), addresses),
      this.#buildImages(),
      Promise.all(nodes.map((node) => startContainerd(node, { addresses, logs: this.#logs }, releases))),
    ]);
    const control = { addresses, folder: this.#folder, logs: this.#logs, pki, programs: parts.programs, node: first };
    say('starting the control plane');
    const api = await this.#startControlPlane(control);
    for (const socket of sockets) releases.add('end the containers', () => endContainers(socket));
    const importing = sockets.flatMap((socket) => archives.map((archive) => importImage(socket, archive)));
    await Promise.all([...importing, this.#startKubelets(nodes, sockets, control)]);
    const addOns = { ...control, api, kubeconfig: this.kubeconfig };
    await startDns(addOns, releases);
    await startMetrics(addOns, releases);
    if (typeof parts.gateway === 'string') await startGateway(parts.gateway, addOns, releases);
    say('waiting for the nodes to be Ready');
    await waitUntilReady(api, count, releases);
    // It looks for its node's object once, when it starts.
    if (typeof parts.networkPolicies === 'string')
      for (const node of nodes) startNetworkPolicies(parts.networkPolicies, node, addOns, releases);
    await writeFile(path.join(this.#folder, NODES_FILE), JSON.stringify({ sockets, registry }));
  }

  get #logs(): string {
    return path.join(this.#folder, 'logs');
  }

  async #makeFolder(): Promise<void> {
    this.#folder = await mkdtemp(path.join(os.tmpdir(), `${PREFIX}${process.pid}-`));
    await markOwner(this.#folder);
    this.#releases.add(`remove ${this.#folder}`, () => rm(this.#folder, { recursive: true, force: true }));
    await chmod(this.#folder, 0o711); // containers of other users find their files in it
    await mkdir(this.#logs);
  }

  async #buildImages(): Promise<string[]> {
    const folder = path.join(this.#folder, 'images');
    await mkdir(folder);
    return Promise.all([buildPauseImage(this.#options.parts.pause, folder), buildNodeImage(folder)]);
  }

  async #startControlPlane(control: ControlPlaneOptions): Promise<Api> {
    const apiserver = await startApiServer(control, this.#releases);
    const server = serverOf(control.addresses);
    await writeKubeconfig(this.kubeconfig, {
      server,
      ca: control.pki.ca.certificate,
      identity: control.pki.ca.identity('admin'),
    });
    const api = await Api.open(this.kubeconfig);
    this.#releases.add('close the connections to the API', () => api.close());
    await apiserver.until(() => api.text('/readyz'), 'the Kubernetes API is ready', 120);
    await allowProxies(api);
    await startControllers({ ...control, server }, this.#releases);
    return api;
  }

  async #startKubelets(nodes: Node[], sockets: string[], control: ControlPlaneOptions): Promise<void> {
    const server = serverOf(control.addresses);
    for (const [index, node] of nodes.entries()) {
      const around = { ...control, server, socket: sockets[index] ?? '' };
      await startKubelet(node, around, this.#releases);
      await startProxy(node, around, this.#releases);
    }
  }
}

function serverOf(addresses: Addresses): string {
  return `https://${addresses.node(1)}:6443`;
}

interface NodeList {
  items: { metadata: { name: string }; status?: { conditions?: { type: string; status: string }[] } }[];
}

async function waitUntilReady(api: Api, count: number, releases: Releases): Promise<void> {
  await waitFor(
    async () => {
      if (releases.closed) return true;
      const { items } = await api.get<NodeList>('/api/v1/nodes');
      const ready = items.filter(({ status }) =>
        status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True'),
      );
      return ready.length === count;
    },
    { what: `${count} nodes to be Ready`, seconds: 120 },
  );
  // Pods can't be created before their namespace has it.
  await waitFor(() => releases.closed || api.get('/api/v1/namespaces/default/serviceaccounts/default'), {
    what: 'the service account of the namespace default',
    seconds: 60,
  });
}
