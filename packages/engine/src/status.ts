import { z } from 'zod';

/**
 * What an engine saw. Statuses are facts, never wishes: an instance is `ready` because its health answered.
 *
 * | instance state | meaning |
 * | --- | --- |
 * | pending  | wanted, not started yet (a service it needs is not ready, or its back-off runs) |
 * | starting | the process runs, its health has not answered yet |
 * | ready    | its health answered; it may be given requests |
 * | failing  | it ended, or was ended, and `failure` says why; it is started again after a back-off |
 * | draining | gets no new requests; finishes those it has |
 * | gone     | ended and not wanted any more; reported once |
 */
export const instanceStateSchema = z.enum(['pending', 'starting', 'ready', 'failing', 'draining', 'gone']);

/**
 * Why an instance or job does not do what it should. Each code is one cause with one remedy.
 *
 * | code | cause |
 * | --- | --- |
 * | command-missing | the shell could not find or execute the command (exit 126, 127) |
 * | crashed         | it ended by itself, by an exit code or a signal |
 * | port-closed     | it runs, but nothing listens on its port within `startSeconds` |
 * | unhealthy       | the port is open, but the health path did not answer 2xx or 3xx within `startSeconds`, or stopped doing so |
 * | out-of-memory   | its process tree passed the memory limit and was ended |
 * | artifact-missing | the artifact is not there any more |
 * | disk-full       | the engine could not write what the process needs |
 * | config-missing  | a declared config key or secret has no value |
 * | unschedulable   | no node has room for it |
 * | image-missing   | its image can't be pulled |
 * | timeout         | a job ran longer than it may |
 * | cancelled       | a job was ended on request |
 * | lost            | the engine can't tell how it ended (its node went away) |
 */
export const failureCodeSchema = z.enum([
  'command-missing',
  'crashed',
  'port-closed',
  'unhealthy',
  'out-of-memory',
  'artifact-missing',
  'disk-full',
  'config-missing',
  'unschedulable',
  'image-missing',
  'timeout',
  'cancelled',
  'lost',
]);

export const failureSchema = z.object({
  code: failureCodeSchema,
  /** One or two sentences: what happened and what to do about it. */
  message: z.string(),
  exitCode: z.int().nullable(),
  signal: z.string().nullable(),
  /** The last lines it wrote, oldest first, at most 20. */
  lastLines: z.array(z.string()),
});

export const instanceStatusSchema = z.object({
  /** Unique on this engine, for ever. */
  id: z.string(),
  release: z.int(),
  kind: z.enum(['service', 'worker']),
  /** Name of the service or worker. */
  name: z.string(),
  state: instanceStateSchema,
  /** When it entered this state, milliseconds since 1970. */
  since: z.number(),
  /** How often it was started again since the plan first named it. */
  restarts: z.int(),
  /** Where it listens, `http://127.0.0.1:PORT`; null for workers and before its start. */
  address: z.string().nullable(),
  /** Process id on the machine engine. */
  pid: z.int().nullable(),
  /** The last failure; stays visible after a restart until the instance is ready. */
  failure: failureSchema.nullable(),
});

export const environmentStatusSchema = z.object({
  environment: z.string(),
  /** Generation of the plan that the engine holds. */
  generation: z.int(),
  /** `awake`: processes as planned. `asleep`: stopped for want of requests. `waking`: a request is held until they are ready. */
  activity: z.enum(['awake', 'asleep', 'waking']),
  /** Where new requests go now, by release number; empty when nothing can serve. */
  traffic: z.array(z.object({ release: z.int(), weight: z.number() })),
  instances: z.array(instanceStatusSchema),
  /** Public base URL of each service that has a route, by service name (of the release with traffic, else the newest). */
  urls: z.record(z.string(), z.string()),
  /** Time of the newest request, milliseconds since 1970; null: none since the engine knows the environment. */
  lastRequestAt: z.number().nullable(),
  /** Things an operator should know that are no failure of one instance, e.g. output that is slowed down. */
  notices: z.array(z.string()),
});

export const observationSchema = z.discriminatedUnion('kind', [
  /** The whole status of one environment, after every change. */
  z.object({ kind: z.literal('status'), status: environmentStatusSchema }),
  /** Nothing of this environment is left. */
  z.object({ kind: z.literal('removed'), environment: z.string() }),
  /** Every environment that existed when the observation began has been reported. */
  z.object({ kind: z.literal('synced') }),
]);

export type InstanceState = z.infer<typeof instanceStateSchema>;
export type FailureCode = z.infer<typeof failureCodeSchema>;
export type Failure = z.infer<typeof failureSchema>;
export type InstanceStatus = z.infer<typeof instanceStatusSchema>;
export type EnvironmentStatus = z.infer<typeof environmentStatusSchema>;
export type Observation = z.infer<typeof observationSchema>;
