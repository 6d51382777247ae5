import { readFileSync } from 'node:fs';
import path from 'node:path';
import { cannotRun, isExecutable } from '../src/chromium.ts';
import { Api } from './api.ts';
import { AUDIT_LOG, makeCaller, type Caller } from './callers.ts';
import { NODES_FILE, type Feature, type NodesFile } from './cluster.ts';
import { buildImage, type ImageOptions } from './image.ts';
import { importImage, NODE_IMAGE } from './images.ts';
import { pushImage, type PushedImage } from './push-image.ts';

/** The cluster that a `*.cluster.test.ts` runs on. */
export interface GivenCluster {
  kubeconfig: string;
  /**
   * `ours` was started for this run: the machine reaches the addresses of its pods and services, images can be given to it, and its nodes may be broken.
   * `foreign` was named in SLIPWAY_TEST_KUBECONFIG: nothing of that holds, and other people may use it.
   */
  kind: 'ours' | 'foreign';
  /** An image with `node` and `sh`. */
  image: string;
  api: Api;
  /**
   * Whether it has something beyond the least, or whether there is the program `helm` on PATH. When not, the end of the run says that `what` was
   * not run.
   */
  has(feature: Feature | 'helm', what: string): boolean;
  /** Builds an image and gives it to every node; pods use it with `imagePullPolicy: IfNotPresent`. Only for `ours`. */
  addImage(options: ImageOptions, folder: string): Promise<void>;
  /** Builds an image and pushes it to the cluster's registry, where nodes pull it from by tag or digest. Only for `ours`. */
  pushImage(options: ImageOptions, folder: string): Promise<PushedImage>;
  /** Where the names of such images begin. Only for `ours`. */
  registry(): string;
  /** Somebody whose calls to the API server are counted by it. Only for `ours`. @param work For a kubeconfig. */
  caller(name: string, work: string): Promise<Caller>;
}

/** @throws {Error} when the tests were not started by `npm run test:cluster`. */
export async function givenCluster(): Promise<GivenCluster> {
  const kubeconfig = process.env['SLIPWAY_TEST_KUBECONFIG'];
  if (kubeconfig === undefined) throw new Error('this test needs a cluster. Start it by: npm run test:cluster -- FILE');
  const folder = process.env['SLIPWAY_TEST_CLUSTER_FOLDER'];
  const foreignImage = process.env['SLIPWAY_TEST_IMAGE'] ?? 'docker.io/library/node:26-slim';
  const api = await Api.open(kubeconfig);
  return {
    kubeconfig,
    kind: folder === undefined ? 'foreign' : 'ours',
    image: folder === undefined ? foreignImage : NODE_IMAGE,
    api,
    has(feature, what) {
      const lacking = feature === 'helm' ? whyNoHelm() : whyNot(feature, folder !== undefined);
      if (lacking !== null) cannotRun(what, lacking);
      return lacking === null;
    },
    async addImage(options, work) {
      const { sockets } = readNodes(folder, options);
      const archive = await buildImage(options, work);
      await Promise.all(sockets.map((socket) => importImage(socket, archive)));
    },
    async pushImage(options, work) {
      return pushImage(options, readNodes(folder, options).registry, work);
    },
    registry: () => readNodes(folder, { name: 'an image' }).registry,
    async caller(name, work) {
      if (folder === undefined) throw new Error(`the calls of ${name} can't be counted on a foreign cluster`);
      const log = path.join(folder, 'logs', AUDIT_LOG);
      return await makeCaller(name, { api, kubeconfig, log, folder: work });
    },
  };
}

function readNodes(folder: string | undefined, { name }: Pick<ImageOptions, 'name'>): NodesFile {
  if (folder === undefined) throw new Error(`${name} can't be given to a foreign cluster`);
  return JSON.parse(readFileSync(path.join(folder, NODES_FILE), 'utf8')) as NodesFile;
}

function whyNot(feature: Feature, ours: boolean): string | null {
  if ((process.env['SLIPWAY_TEST_CLUSTER_FEATURES'] ?? '').split(',').includes(feature)) return null;
  return ours ? `the cluster was started without what ${feature} need` : 'the cluster is not ours';
}

function whyNoHelm(): string | null {
  const folders = (process.env['PATH'] ?? '').split(path.delimiter);
  if (folders.some((folder) => isExecutable(path.join(folder, 'helm')))) return null;
  return 'no helm is on PATH, and none could be built';
}
