import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Engine } from '@slipway/engine';
import type { Answer, ConformanceSetup } from '@slipway/engine/conformance';
import { freePort } from '@slipway/testing';
import { givenCluster, nodeImage, testGateway, type GivenCluster } from '@slipway/testing/cluster';
import type { CallCount } from '../api/client.ts';
import { readKubeconfig } from '../api/kubeconfig.ts';
import { DEFAULT_TARGET, type Target } from '../render/target.ts';
import { KubernetesEngine, type KubernetesEngineOptions } from './kubernetes-engine.ts';

/** In a pod each process is number 1; the suite tells instances apart by theirs. */
const PROCESS_NUMBER = `Object.defineProperty(process, 'pid', { value: 2 + Math.floor(Math.random() * 2 ** 31) });`;

/** For tests that look deeper than the contract. */
export interface EngineUnderTest {
  calls: () => { count: () => CallCount; quietMilliseconds: () => number };
}

/** What the conformance suite needs of a real cluster: an engine of its own, images from files, and requests through its gateway. */
export async function engineUnderTest(): Promise<ConformanceSetup & EngineUnderTest> {
  const cluster = await givenCluster();
  const folder = await mkdtemp(path.join(tmpdir(), 'slipway-artifacts-'));
  const work = await mkdtemp(path.join(tmpdir(), 'slipway-work-'));
  const options = await optionsFor(cluster, work);
  const images = new Artifacts(cluster, folder);
  const engine = new RestartableEngine(() => new KubernetesEngine(options));
  return {
    engine: engine.facade,
    calls: () => engine.calls(),
    artifact: async (files) => await images.make(files),
    request: async (host, to, init = {}) => await send(options.entrance ?? { host: '', port: 80 }, host, to, init),
    restart: async () => await engine.restart(),
    async dispose() {
      const claim = options.workClaim?.name ?? '';
      await cluster.api.delete(`/api/v1/namespaces/${JOBS}/persistentvolumeclaims/${claim}`);
      await cluster.api.delete(`/api/v1/persistentvolumes/${claim}`);
      cluster.api.close();
      for (const one of [folder, work]) await rm(one, { recursive: true, force: true });
    },
  };
}

/** An engine on the cluster of the tests. Pods reach this machine at the address that it has in the network of the nodes. */
async function optionsFor(cluster: GivenCluster, work: string): Promise<KubernetesEngineOptions & { target: Target }> {
  const node = cluster.api.server.hostname;
  const { machine, gateway, sources } = await testGateway(cluster);
  const port = await freePort();
  const claim = await makeClaim(cluster, work);
  return {
    access: async () => await readKubeconfig(cluster.kubeconfig),
    key: 'key of the tests',
    entrance: { host: node, port: 80 },
    activator: { host: machine, port },
    workClaim: { name: claim },
    jobsNamespace: JOBS,
    target: {
      ...DEFAULT_TARGET,
      entrance: { kind: 'gateway', ...gateway, sources },
      // The cluster's DNS runs on a node, in no pod.
      reach: sources,
      // Traefik takes changes within 2 s.
      drainSeconds: 4,
      activator: { address: machine, port },
    },
  };
}

const JOBS = 'slipway-jobs';

/** There is no provisioner, so the volume is a folder of this machine, which all nodes have. */
async function makeClaim({ api }: GivenCluster, folder: string): Promise<string> {
  const name = `work-${process.pid}-${Date.now()}`;
  await chmod(folder, 0o777); // pods of another user change it
  const size = { storage: '1Gi' };
  await api.create('/api/v1/persistentvolumes', {
    metadata: { name },
    spec: {
      capacity: size,
      accessModes: ['ReadWriteMany'],
      hostPath: { path: folder },
      claimRef: { namespace: JOBS, name },
      storageClassName: '',
    },
  });
  await api.apply(`/api/v1/namespaces/${JOBS}`, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: JOBS } });
  await api.create(`/api/v1/namespaces/${JOBS}/persistentvolumeclaims`, {
    metadata: { name },
    spec: { accessModes: ['ReadWriteMany'], resources: { requests: size }, storageClassName: '', volumeName: name },
  });
  return name;
}

/** Images that hold the files of an artifact in /app. */
class Artifacts {
  readonly #cluster: GivenCluster;
  readonly #folder: string;
  #count = 0;

  constructor(cluster: GivenCluster, folder: string) {
    this.#cluster = cluster;
    this.#folder = folder;
  }

  async make(files: Record<string, string>): Promise<string> {
    const number = (this.#count += 1);
    const name = `slipway.test/artifact-${process.pid}-${number}:1`;
    const folder = path.join(this.#folder, `${number}`);
    await mkdir(folder);
    const sources: Record<string, string> = {};
    for (const [file, text] of Object.entries({ ...files, '../number.js': PROCESS_NUMBER })) {
      const source = path.join(folder, path.basename(file));
      await writeFile(source, text);
      sources[path.join('/app', file)] = source;
    }
    const image = await nodeImage(name, sources);
    await this.#cluster.addImage({ ...image, env: ['NODE_OPTIONS=--require=/number.js'], start: '/app' }, folder);
    await rm(folder, { recursive: true });
    return name;
  }
}

/** Its process is this one, so a kill is the loss of everything it knows: a new engine without anything of the old one. */
class RestartableEngine {
  readonly #make: () => KubernetesEngine;
  #now: KubernetesEngine;
  #restarting: Promise<void> = Promise.resolve();
  #last = { text: '', at: 0 };
  readonly facade: Engine;

  constructor(make: () => KubernetesEngine) {
    this.#make = make;
    this.#now = make();
    this.facade = this.#facade();
  }

  async restart(): Promise<void> {
    const next = this.#make();
    this.#restarting = (async () => {
      await this.#now.stop();
      await next.start();
      this.#now = next;
    })();
    await this.#restarting;
  }

  /** How many calls it made, and for how long it made none. */
  calls(): ReturnType<EngineUnderTest['calls']> {
    return {
      count: () => ({ ...this.#now.calls }),
      quietMilliseconds: () => {
        const text = JSON.stringify(this.#now.calls);
        if (text !== this.#last.text) this.#last = { text, at: performance.now() };
        return performance.now() - this.#last.at;
      },
    };
  }

  #facade(): Engine {
    const now = (): KubernetesEngine => this.#now;
    const restarted = async (): Promise<void> => await this.#restarting;
    return {
      name: 'kubernetes',
      starts: 'image',
      start: async () => await now().start(),
      stop: async () => await now().stop(),
      converge: async (plan) => await now().converge(plan),
      observe: (signal) => now().observe(signal),
      remove: async (environment) => await now().remove(environment),
      logs: (request, signal) => now().logs(request, signal),
      cancel: async (id) => await now().cancel(id),
      exec: async (request, io) => await now().exec(request, io),
      // A caller whose engine went away asks again by the same id, as the control plane does.
      async run(job, options = {}) {
        for (;;) {
          const engine = now();
          try {
            return await engine.run(job, options);
          } catch (error) {
            await restarted();
            if (engine === now() || options.signal?.aborted === true) throw error;
          }
        }
      },
    };
  }
}

async function send(
  entrance: { host: string; port: number },
  host: string,
  to: string,
  init: { method?: string; headers?: Record<string, string>; body?: string },
): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const request = httpRequest(
      { ...entrance, path: to, method: init.method ?? 'GET', headers: { ...init.headers, host } },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text: async () => text }));
        response.on('error', reject);
      },
    );
    request.on('error', reject);
    request.end(init.body);
  });
}
