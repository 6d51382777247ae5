import { createHash } from 'node:crypto';
import { SlipwayError } from '@slipway/app';
import type { JobRun } from '@slipway/engine';
import type { IPod, ISecret } from 'kubernetes-models/v1';
import { sortedMap } from '../render/kubernetes-object.ts';
import { labelOf } from '../render/names.ts';
import { COMPONENT_LABEL, MANAGER_LABEL, NAME_LABEL, OWNER_LABEL } from '../render/owner.ts';
import { memoryQuantity } from '../render/quantity.ts';
import { shellCommand } from '../render/shell-command.ts';
import { JOB_ANNOTATION, SOURCE_ANNOTATION } from './logs.ts';

/** Annotation of a job's pod: why it was ended, `timeout` or `cancelled`. Written before its end. */
export const ENDED_ANNOTATION = 'slipway.dev/ended';
/** Label of the pods of jobs that may change a folder: which folder. */
export const FOLDER_LABEL = 'slipway.dev/folder';
export const JOB_LABEL = 'slipway.dev/job';
export const JOB_CONTAINER = 'job';

const USER = 10_001;
/** What a job gets that says nothing; quotas want it said. */
const DEFAULT_MEMORY = 512 * 2 ** 20;
const CPU = '100m';
const GRACE_SECONDS = 5;
/** For finding a node and pulling the image, which are no time of the job. */
const START_SECONDS = 600;
const WORK = '/work';

export interface JobPlace {
  namespace: string;
  serviceAccount: string | null;
  pullSecret: string | null;
  /** Claim with the folder as a job changed it; null: the folder is as the image has it, and what is changed is gone with the pod. */
  changed: { claim: string; path: string } | null;
}

/** Name of the pod (and of its Secret) of a job: the same id is the same pod. */
export function jobPodName(id: string): string {
  return `job-${createHash('sha256').update(id).digest('hex').slice(0, 20)}`;
}

/** Stands for a folder in labels and paths. */
export function folderName(folder: string): string {
  return createHash('sha256').update(folder).digest('hex').slice(0, 20);
}

/**
 * A job as a pod of its own: it is started once, and never again by anybody, which a Job of Kubernetes does not promise.
 *
 * @throws {SlipwayError} `mistake` when the folder is no image.
 */
export function jobPod(job: JobRun, place: JobPlace): { pod: IPod; secret: ISecret | null } {
  if (!/^[a-z0-9][\w.-]*(:\d+)?(\/[\w.-]+)*(:[\w.-]+)?(@sha256:[0-9a-f]{64})?$/i.test(job.folder))
    throw new SlipwayError('mistake', `Job ${job.id} can't run in ${job.folder}: on Kubernetes the folder is an image`);
  const name = jobPodName(job.id);
  const source = job.source ?? job.id;
  const metadata = {
    name,
    namespace: place.namespace,
    labels: sortedMap({
      [MANAGER_LABEL]: 'slipway',
      [COMPONENT_LABEL]: 'job',
      [NAME_LABEL]: JOB_CONTAINER,
      [OWNER_LABEL]: place.namespace,
      [JOB_LABEL]: name,
      ...(job.access === 'read-write' ? { [FOLDER_LABEL]: folderName(job.folder) } : {}),
    }),
    annotations: { [JOB_ANNOTATION]: job.id, [SOURCE_ANNOTATION]: source },
  };
  const secret =
    Object.keys(job.variables).length === 0
      ? null
      : { apiVersion: 'v1' as const, kind: 'Secret' as const, metadata, immutable: true, stringData: job.variables };
  return {
    secret,
    pod: { apiVersion: 'v1', kind: 'Pod', metadata, spec: podSpec(job, place, secret === null ? null : name) },
  };
}

function podSpec(job: JobRun, place: JobPlace, secret: string | null): NonNullable<IPod['spec']> {
  const memory = memoryQuantity(job.memory ?? DEFAULT_MEMORY);
  const resources = { requests: { cpu: CPU, memory }, limits: { memory } };
  const restricted = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
  const work = workVolume(job, place);
  const own = job.access === 'read-write';
  return {
    ...(place.serviceAccount === null ? {} : { serviceAccountName: place.serviceAccount }),
    ...(place.pullSecret === null ? {} : { imagePullSecrets: [{ name: place.pullSecret }] }),
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    restartPolicy: 'Never',
    terminationGracePeriodSeconds: GRACE_SECONDS,
    activeDeadlineSeconds: Math.ceil(job.timeoutSeconds) + START_SECONDS,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: USER,
      runAsGroup: USER,
      fsGroup: USER,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    // The folder of an image can't be changed, so a job that may change it gets a copy.
    ...(own
      ? {
          initContainers: [
            {
              name: 'copy',
              image: job.folder,
              command: ['sh', '-c', `[ -e ${WORK}/.slipway ] || { cp -R . ${WORK}/files && : > ${WORK}/.slipway; }`],
              resources,
              securityContext: { ...restricted, readOnlyRootFilesystem: true },
              volumeMounts: [{ name: 'work', mountPath: WORK, ...subPath(place) }],
            },
          ],
        }
      : {}),
    containers: [
      {
        name: JOB_CONTAINER,
        image: job.folder,
        command: shellCommand(job.run),
        ...(work === null ? {} : { workingDir: `${WORK}/files` }),
        env: [{ name: 'HOME', value: '/tmp' }],
        ...(secret === null ? {} : { envFrom: [{ secretRef: { name: secret } }] }),
        resources,
        securityContext: { ...restricted, readOnlyRootFilesystem: true },
        volumeMounts: [
          { name: 'tmp', mountPath: '/tmp' },
          ...(work === null ? [] : [{ name: 'work', mountPath: WORK, readOnly: !own, ...subPath(place) }]),
        ],
      },
    ],
    volumes: [{ name: 'tmp', emptyDir: { sizeLimit: '1Gi' } }, ...(work === null ? [] : [work])],
  };
}

function subPath({ changed }: JobPlace): { subPath?: string } {
  return changed === null ? {} : { subPath: changed.path };
}

function workVolume({ access }: JobRun, { changed }: JobPlace) {
  if (changed !== null) return { name: 'work', persistentVolumeClaim: { claimName: changed.claim } };
  return access === 'read-write' ? { name: 'work', emptyDir: {} } : null;
}

export { labelOf };
