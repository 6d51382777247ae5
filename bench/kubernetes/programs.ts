import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { manifest, type Target } from '@slipway/kubernetes';
import { command, type Caller, type GivenCluster } from '@slipway/testing/cluster';
import { secondsOf, waitUntilGone, type Contender } from './contender.ts';
import { namespaceOf, objectsOf, planOf } from './workload.ts';

const WAIT_SECONDS = 240;

interface Options {
  image: string;
  target: Target;
  /** For files, and for what the programs keep about the cluster's API. */
  folder: string;
}

/** `kubectl apply`, then `kubectl wait`. */
export class Kubectl implements Contender {
  readonly caller: Caller;
  readonly #cluster: GivenCluster;
  readonly #options: Options;

  constructor(caller: Caller, cluster: GivenCluster, options: Options) {
    this.caller = caller;
    this.#cluster = cluster;
    this.#options = options;
  }

  async up(environment: string): Promise<number> {
    const { image, target, folder } = this.#options;
    const file = path.join(folder, `${namespaceOf(environment)}.yaml`);
    await writeFile(file, manifest(objectsOf(planOf(environment, image), target)));
    const namespace = ['--namespace', namespaceOf(environment)];
    return await secondsOf(async () => {
      await this.#run(['apply', '--filename', file]);
      const until = ['--for=condition=Available', `--timeout=${WAIT_SECONDS}s`];
      await this.#run(['wait', ...until, ...namespace, 'deployment', '--all']);
    });
  }

  async gone(environment: string): Promise<number> {
    return await secondsOf(async () => {
      await this.#run(['delete', 'namespace', namespaceOf(environment)]);
      await waitUntilGone(this.#cluster.api, environment);
    });
  }

  async #run(args: string[]): Promise<void> {
    await run('kubectl', args, this.caller, this.#options.folder);
  }
}

/** `helm upgrade --install --wait` of a chart with the same objects. Its releases are kept in a namespace of their own, as the chart makes the environment's. */
export class Helm implements Contender {
  readonly caller: Caller;
  readonly #cluster: GivenCluster;
  readonly #options: Options;

  constructor(caller: Caller, cluster: GivenCluster, options: Options) {
    this.caller = caller;
    this.#cluster = cluster;
    this.#options = options;
  }

  async up(environment: string): Promise<number> {
    const { image, target, folder } = this.#options;
    const name = namespaceOf(environment);
    const chart = path.join(folder, name);
    await mkdir(path.join(chart, 'templates'), { recursive: true });
    await writeFile(path.join(chart, 'Chart.yaml'), `apiVersion: v2\nname: ${name}\nversion: 0.1.0\n`);
    const objects = manifest(objectsOf(planOf(environment, image), target));
    await writeFile(path.join(chart, 'templates', 'objects.yaml'), objects);
    return await secondsOf(async () => {
      await this.#run(['upgrade', '--install', name, chart, '--wait', '--timeout', `${WAIT_SECONDS}s`]);
    });
  }

  async gone(environment: string): Promise<number> {
    return await secondsOf(async () => {
      await this.#run(['uninstall', namespaceOf(environment)]);
      await waitUntilGone(this.#cluster.api, environment);
    });
  }

  async #run(args: string[]): Promise<void> {
    await run('helm', [...args, '--namespace', 'default'], this.caller, this.#options.folder);
  }
}

async function run(program: string, args: string[], { kubeconfig }: Caller, folder: string): Promise<void> {
  await command(program, [...args, '--kubeconfig', kubeconfig], {
    env: { HOME: folder, KUBECACHEDIR: path.join(folder, 'cache') },
    seconds: 2 * WAIT_SECONDS,
  });
}
