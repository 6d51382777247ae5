import type { IContainer, IEnvVar, IVolume, IVolumeMount } from 'kubernetes-models/v1';
import type { Owner } from './owner.ts';
import { cpuQuantity, memoryQuantity } from './quantity.ts';
import type { Target } from './target.ts';

/** Where the runner is, in the image that brings it and in the pods of workers. */
const FOLDER = '/opt/slipway-runner';
const VOLUME = 'runner';
/** Bytes; Node.js and its libraries take half of it. */
const FOLDER_SIZE = '256Mi';
/** Where an init container writes what the others then find in `FOLDER`. */
const COPY_TO = '/runner';

/**
 * Words that start it. Its own loader and C library come along, so that it runs in an image with glibc of any version, with musl, or with none; what
 * it starts runs with the image's own, because none of that is in the environment.
 */
const START = `${FOLDER}/lib/ld.so --library-path ${FOLDER}/lib ${FOLDER}/bin/node ${FOLDER}/runner.mjs`;

/** What of a worker's pod is for its runner. */
export interface RunnerParts {
  /** Shell words. */
  start: string;
  env: IEnvVar[];
  initContainers: IContainer[];
  volumes: IVolume[];
  mounts: IVolumeMount[];
}

/**
 * The runner of a worker in the worker's own image. Image volumes would bring it in without a copy, but they take Kubernetes 1.35 and a container runtime
 * that has them, so it is copied (0.1 s): https://kubernetes.io/docs/concepts/storage/volumes/#image
 *
 * @param size of the container that it runs in; the copying gets no more.
 */
export function runnerParts(
  { runnerImage }: Pick<Target, 'runnerImage'>,
  { namespace }: Pick<Owner, 'namespace'>,
  size: { cpu: number; memory: number },
): RunnerParts {
  // By this name the engine knows it when it dies, and the queue what it worked on.
  const env: IEnvVar[] = [
    { name: 'SLIPWAY_POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
    { name: 'SLIPWAY_INSTANCE', value: `${namespace}/$(SLIPWAY_POD)` },
  ];
  if (runnerImage === null) return { start: 'slipway runner', env, initContainers: [], volumes: [], mounts: [] };
  const memory = memoryQuantity(size.memory);
  return {
    start: START,
    env,
    initContainers: [
      {
        name: VOLUME,
        image: runnerImage,
        command: ['cp', '-R', `${FOLDER}/.`, COPY_TO],
        resources: { requests: { cpu: cpuQuantity(size.cpu), memory }, limits: { memory } },
        securityContext: {
          allowPrivilegeEscalation: false,
          capabilities: { drop: ['ALL'] },
          readOnlyRootFilesystem: true,
        },
        volumeMounts: [{ name: VOLUME, mountPath: COPY_TO }],
      },
    ],
    volumes: [{ name: VOLUME, emptyDir: { sizeLimit: FOLDER_SIZE } }],
    mounts: [{ name: VOLUME, mountPath: FOLDER, readOnly: true }],
  };
}
