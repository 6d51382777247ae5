import { z } from 'zod';
import { failureSchema } from './status.ts';

/**
 * One command that an engine runs to its end: a before-deploy job, a check, a build.
 *
 * The `id` makes it safe to ask again: a job with this id that runs already is attached to, one that has ended
 * answers with its result, so a control plane that was killed never runs a migration twice.
 */
export const jobRunSchema = z.object({
  id: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]*$/)
    .max(120),
  /** `APP/ENVIRONMENT` whose logs its output joins; null for checks and builds. */
  environment: z.string().nullable(),
  /** Whose output this is in the logs, e.g. the job's name in `slipway.yaml`; without it the id. */
  source: z.string().optional(),
  /** Shell command, run with `sh -c`. */
  run: z.string(),
  /** Absolute path it runs in, for engines that start artifacts. */
  folder: z.string(),
  /** Container image, for engines that start images. */
  image: z.string().optional(),
  /**
   * `read-only`: the folder can't be changed by the job. `read-write`: the folder belongs to the job while it
   * runs and is sealed (read-only for every process an engine starts) when it has ended well.
   */
  access: z.enum(['read-only', 'read-write']),
  variables: z.record(z.string(), z.string()),
  timeoutSeconds: z.number().positive(),
  /** Bytes for its whole process tree; null: no limit. */
  memory: z.int().positive().nullable(),
  /** Cores that are kept for it, where nodes have a scheduler. */
  cpu: z.number().positive().optional(),
});

export const jobResultSchema = z.object({
  id: z.string(),
  /** `succeeded`: exit code 0. */
  outcome: z.enum(['succeeded', 'failed']),
  /** null when it succeeded. */
  failure: failureSchema.nullable(),
  /** The end of its output, oldest line first, at most 200 lines. */
  lastLines: z.array(z.string()),
  startedAt: z.number(),
  finishedAt: z.number(),
});

export const logLineSchema = z.object({
  /** When the engine read it, milliseconds since 1970. */
  at: z.number(),
  /** Service, worker or job name. */
  source: z.string(),
  /** Instance or job id. */
  instance: z.string(),
  release: z.int().nullable(),
  stream: z.enum(['stdout', 'stderr']),
  line: z.string(),
});

export type JobRun = z.infer<typeof jobRunSchema>;
export type JobResult = z.infer<typeof jobResultSchema>;
export type LogLine = z.infer<typeof logLineSchema>;
