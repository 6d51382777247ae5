import { readKubeconfig, DEFAULT_TARGET, KubernetesEngine, type Target } from '@slipway/kubernetes';
import { testGateway, type Caller, type GivenCluster } from '@slipway/testing/cluster';
import { waitUntilGone, secondsOf, type Contender } from './contender.ts';
import { allReady, Observed } from './observed.ts';
import { planOf } from './workload.ts';

/** What there is to know about the cluster of the tests, for everybody who brings objects to it. */
export async function targetOf(cluster: GivenCluster): Promise<Target & { address: string }> {
  const { gateway, sources, address } = await testGateway(cluster);
  return {
    ...DEFAULT_TARGET,
    entrance: { kind: 'gateway', ...gateway, sources },
    // The cluster's DNS runs on a node, in no pod.
    reach: sources,
    // Traefik takes changes within 2 s.
    drainSeconds: 4,
    address,
  };
}

/** An engine that was started, and what it tells. */
export interface Running {
  engine: KubernetesEngine;
  observed: Observed;
}

/** Slipway's engine in this process. It is only started while it is measured, so that it takes nothing from the others. */
export class Slipway implements Contender {
  readonly caller: Caller;
  readonly #cluster: GivenCluster;
  readonly #image: string;
  readonly #target: Target & { address: string };
  #running: Running | null = null;

  constructor(caller: Caller, cluster: GivenCluster, options: { image: string; target: Target & { address: string } }) {
    this.caller = caller;
    this.#cluster = cluster;
    this.#image = options.image;
    this.#target = options.target;
  }

  async running<T>(work: (running: Running) => Promise<T>): Promise<T> {
    const { address, ...target } = this.#target;
    const engine = new KubernetesEngine({
      access: async () => await readKubeconfig(this.caller.kubeconfig),
      target,
      key: 'key of the benchmark',
      entrance: { host: address, port: 80 },
      secretNames: () => [],
    });
    await engine.start();
    const observed = new Observed(engine);
    this.#running = { engine, observed };
    try {
      return await work(this.#running);
    } finally {
      this.#running = null;
      await observed.stop();
      await engine.stop();
    }
  }

  async up(environment: string): Promise<number> {
    const { engine, observed } = this.#here();
    const plan = planOf(environment, this.#image);
    return await secondsOf(async () => {
      await engine.converge(plan);
      await observed.until(environment, 'to be ready', allReady(plan));
    });
  }

  async gone(environment: string): Promise<number> {
    const { engine } = this.#here();
    return await secondsOf(async () => {
      await engine.remove(environment);
      await waitUntilGone(this.#cluster.api, environment);
    });
  }

  #here(): Running {
    if (this.#running === null) throw new Error('the engine is not started');
    return this.#running;
  }
}
