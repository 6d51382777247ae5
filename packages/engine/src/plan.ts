import { z } from 'zod';

/**
 * What an environment should be right now. The control plane decides it, an engine makes it true.
 *
 * A plan is the whole truth for its environment: what it does not name is stopped. Plans of one environment are
 * ordered by `generation`; an engine refuses one that is older than the plan it holds, so that a slow or
 * repeated message never moves an environment backwards.
 */

const sizeSchema = z.object({ cpu: z.number().positive(), memory: z.int().positive() });
const imageSchema = z.string().optional();

export const plannedProcessSchema = z.object({
  /** Name of the service or worker in `slipway.yaml`. */
  name: z.string(),
  /** Shell command, run with `sh -c` in the artifact. */
  run: z.string(),
  /** Container image, best with its digest; engines that run the artifact itself need none. */
  image: imageSchema,
  /** How many instances, 0 or more. */
  replicas: z.int().min(0),
  /** `cpu` in cores, `memory` in bytes. Memory is a limit: an instance above it is ended and started again. */
  size: sizeSchema,
  /** Seconds between SIGTERM and SIGKILL. */
  stopSeconds: z.number().min(0),
  /** More variables, for this process only. */
  variables: z.record(z.string(), z.string()).default({}),
});

export const plannedServiceSchema = plannedProcessSchema.extend({
  /** Path that answers 2xx or 3xx when the instance is healthy; null: an open port is enough. */
  health: z.string().startsWith('/').nullable(),
  /** Public path prefix on the environment's hosts; null: only peers that name it in `needs` reach it. */
  route: z.string().startsWith('/').nullable(),
  /** The port the process listens on where every instance has an address of its own (Kubernetes). The machine engine sets PORT. */
  port: z.int().min(1).max(65535).nullable(),
  /** Services of the same release this one calls: they start first, and `<NAME>_URL` tells their address. */
  needs: z.array(z.string()),
  /** Seconds a new instance may take until it is healthy. */
  startSeconds: z.number().positive(),
  /** The engine scales on CPU between `replicas` and this, if it can; missing: the number is fixed. */
  maxReplicas: z.int().positive().optional(),
});

/** One lane of a worker, where the lanes have processes of their own; each has one slot. */
export const plannedLaneSchema = z.object({
  lane: z.enum(['normal', 'fallback']),
  /** null: something else decides it, and the engine leaves it as it is. */
  replicas: z.int().min(0).nullable(),
  maxReplicas: z.int().min(0),
  /** Of the runner and its attempt together. */
  size: sizeSchema,
  variables: z.record(z.string(), z.string()),
});

export const plannedWorkerSchema = plannedProcessSchema.extend({
  /** For engines where nodes, and not the runner, have the room for its slots (Kubernetes). The machine engine runs the process above. */
  lanes: z.array(plannedLaneSchema).optional(),
});

export const plannedJobSchema = z.object({
  name: z.string(),
  run: z.string(),
  image: imageSchema,
  when: z.enum(['before-deploy', 'schedule']),
  /** Five cron fields, UTC; null unless `when` is `schedule`. */
  schedule: z.string().nullable(),
  size: sizeSchema,
  timeoutSeconds: z.number().positive(),
});

export const plannedReleaseSchema = z.object({
  /** The release's number, unique in its app. */
  number: z.int().positive(),
  commit: z.string(),
  /** Share of new requests, 0 to 100. The weights of a plan sum to 100, or are all 0 (nothing is to be served). */
  weight: z.number().min(0).max(100),
  /** Where the artifact is: for the machine engine the absolute path of a sealed folder. */
  artifact: z.string(),
  /** Config of this release for this environment; given to every process. */
  variables: z.record(z.string(), z.string()),
  services: z.array(plannedServiceSchema),
  workers: z.array(plannedWorkerSchema),
  /** Jobs that are objects of the engine (Kubernetes); on the machine engine the control plane runs them. */
  jobs: z.array(plannedJobSchema).optional(),
});

export const planSchema = z.object({
  /** `APP/ENVIRONMENT`: the owner mark on everything the engine makes for it. */
  environment: z.string().regex(/^[a-z0-9-]+\/[a-z0-9-]+$/),
  /** Grows with every change of this environment's plan. */
  generation: z.int().positive(),
  /** Host names that lead to this environment, without a port. */
  hosts: z.array(z.string()),
  /** Seconds without a request after which every process is stopped until the next request; null: never. */
  sleepSeconds: z.number().positive().nullable(),
  /** `waiting`: there are tasks for its workers, so it does not fall asleep, and wakes without a request. */
  tasks: z.enum(['none', 'waiting']).default('none'),
  /** Oldest first. During a rollout two: the one that serves and the one that starts. */
  releases: z.array(plannedReleaseSchema),
});

export type PlannedProcess = z.infer<typeof plannedProcessSchema>;
export type PlannedService = z.infer<typeof plannedServiceSchema>;
export type PlannedLane = z.infer<typeof plannedLaneSchema>;
export type PlannedJob = z.infer<typeof plannedJobSchema>;
export type PlannedWorker = z.infer<typeof plannedWorkerSchema>;
export type PlannedRelease = z.infer<typeof plannedReleaseSchema>;
export type Plan = z.infer<typeof planSchema>;
