import { z } from '@hono/zod-openapi';

/**
 * What the HTTP API says, once for the server, the command line and the dashboard. Times are ISO 8601 in UTC.
 * Everything is under `/api`; errors are `application/problem+json` (RFC 9457) with `kind` from the taxonomy and a `hint`.
 */

export const time = z.string().meta({ format: 'date-time' });

export const problemSchema = z
  .object({
    title: z.string(),
    status: z.int(),
    kind: z.enum(['mistake', 'denied', 'conflict', 'not-found', 'transient', 'bug']),
    hint: z.string().nullable(),
  })
  .openapi('Problem');

/**
 * | state | meaning |
 * | --- | --- |
 * | ready | every wanted instance of its release is ready |
 * | rolling | a rollout is in progress, or waits (see `reason`) |
 * | failing | the newest rollout failed, or instances of its release fail; `reason` says why |
 * | asleep | stopped for want of requests; the next request wakes it |
 * | removing | being removed |
 */
export const environmentState = z.enum(['ready', 'rolling', 'failing', 'asleep', 'removing']);

export const releaseRefSchema = z.object({ number: z.int(), commit: z.string() }).openapi('ReleaseRef');

export const serviceStatusSchema = z
  .object({ name: z.string(), ready: z.int(), desired: z.int(), url: z.string().nullable() })
  .openapi('ServiceStatus');

export const rolloutSchema = z
  .object({
    id: z.string(),
    app: z.string(),
    environment: z.string(),
    kind: z.enum(['deploy', 'promote', 'rollback']),
    state: z.enum(['waiting', 'running', 'succeeded', 'failed', 'superseded', 'cancelled']),
    /** Present tense, for people: `waits for check test`, `builds`, `starts release 7`. */
    step: z.string(),
    commit: z.string(),
    /** null until the release is frozen. */
    release: z.int().nullable(),
    reason: z.string().nullable(),
    /** `required`: it waits until a person approves it. */
    approval: z.enum(['required', 'given', 'none']),
    actor: z.string(),
    createdAt: time,
    finishedAt: time.nullable(),
  })
  .openapi('Rollout');

const placeSchema = z.object({ namespace: z.string(), name: z.string() });

/** What environments call a cluster. */
export const clusterNameSchema = z.string().regex(/^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$/);

export const clusterSettingsSchema = z.object({
  /** The Gateway by which requests come in. */
  gateway: placeSchema.optional(),
  /** Namespace and class of an ingress controller, for a cluster without the Gateway API. */
  ingress: placeSchema.optional(),
  /** Networks (CIDR) from which the gateway's requests come, when its pods are not in its namespace or are on the nodes' network. */
  sources: z.array(z.string()).default([]),
  /** Environments are `<environment>.<app>.<domain>`. */
  domain: z.string().default('localhost'),
  /** Port of the gateway in URLs. */
  port: z.int().min(1).max(65535).default(80),
  /** Namespace of this control plane there: what it has to remember is in it. Control planes that share a cluster have one each. */
  namespace: z.string().default('slipway'),
  /** Where processes in the cluster reach the control plane; null: as on this machine. */
  controlPlaneUrl: z.url().nullable().default(null),
  /** Where the control plane answers the gateway for environments that may sleep; null: none of them sleeps. */
  activator: z
    .object({ address: z.union([z.ipv4(), z.ipv6()]), port: z.int().min(1).max(65535) })
    .nullable()
    .default(null),
  /** Private networks (CIDR) that processes may reach. */
  reach: z.array(z.string()).default([]),
  /** Image that brings the runner of workers; null: SLIPWAY_IMAGE of the control plane, else the images of workers hold one. */
  runnerImage: z.string().nullable().default(null),
  /** Secret in each environment's namespace by which images are pulled. */
  pullSecret: z.string().nullable().default(null),
});

export const clusterSchema = z
  .object({
    name: z.string(),
    access: z.enum(['kubeconfig', 'in-cluster']),
    settings: clusterSettingsSchema,
    state: z.enum(['connected', 'unreachable']),
    unreachableSince: time.nullable(),
    /** `APP/ENVIRONMENT` of what runs there. */
    environments: z.array(z.string()),
    addedBy: z.string(),
    addedAt: time,
  })
  .openapi('Cluster');

export const clusterReportSchema = z
  .object({
    /** Of Kubernetes. */
    version: z.string(),
    nodes: z.int(),
    /** How requests come in. */
    entrance: z.discriminatedUnion('kind', [
      z.object({ kind: z.literal('gateway'), ...placeSchema.shape }),
      z.object({ kind: z.literal('ingress'), namespace: z.string(), className: z.string() }),
    ]),
    /** What works differently there than elsewhere, a sentence each. */
    notes: z.array(z.string()),
  })
  .openapi('ClusterReport');

export const differenceSchema = z
  .object({
    commit: z.string(),
    changes: z.array(
      z.object({
        change: z.enum(['created', 'changed', 'deleted']),
        kind: z.string(),
        name: z.string(),
        fields: z.array(z.object({ path: z.string(), before: z.string().nullable(), after: z.string().nullable() })),
      }),
    ),
  })
  .openapi('Difference');

export const protectionSchema = z
  .object({
    /** Whether slipway.yaml says `protected: true`. */
    declared: z.boolean(),
    namespace: z.string(),
    verdict: z.enum(['refused', 'would be deleted']),
    /** What the cluster said. */
    answer: z.string().nullable(),
  })
  .openapi('Protection');

export const environmentSchema = z
  .object({
    app: z.string(),
    environment: z.string(),
    kind: z.enum(['branch', 'environment', 'pull-request']),
    /** The machine, or the name of a cluster. */
    engine: z.string(),
    state: environmentState,
    reason: z.string().nullable(),
    /** The release that serves; null before the first. */
    release: releaseRefSchema.nullable(),
    services: z.array(serviceStatusSchema),
    workers: z.array(z.object({ name: z.string(), ready: z.int(), desired: z.int() })),
    url: z.string().nullable(),
    branch: z.string().nullable(),
    /** The environment that `promote` takes its release from; null unless `kind` is `environment`. */
    from: z.string().nullable(),
    pullRequest: z.int().nullable(),
    protected: z.boolean(),
    /** After a rollback: automatic deploys wait for a commit newer than this one. */
    heldSince: z.string().nullable(),
    expiresAt: time.nullable(),
    rollout: rolloutSchema.nullable(),
    updatedAt: time,
  })
  .openapi('Environment');

export const appSchema = z
  .object({
    app: z.string(),
    defaultBranch: z.string().nullable(),
    cloneUrl: z.string(),
    environments: z.array(environmentSchema),
    createdAt: time,
  })
  .openapi('App');

export const releaseSchema = z
  .object({
    app: z.string(),
    number: z.int(),
    environment: z.string(),
    commit: z.string(),
    subject: z.string(),
    author: z.string(),
    artifact: z.string(),
    /** Serving now. */
    current: z.boolean(),
    /** When it got its first request; null: it never served, so nothing can go back to it. */
    servedAt: time.nullable().optional(),
    createdAt: time,
    actor: z.string(),
  })
  .openapi('Release');

export const eventSchema = z
  .object({
    id: z.int(),
    at: time,
    app: z.string().nullable(),
    environment: z.string().nullable(),
    commit: z.string().nullable(),
    /** Dotted, e.g. `check.passed`, `rollout.succeeded`, `instance.failing`. */
    kind: z.string(),
    /** For people: what, why, what happens next, what to do. */
    message: z.string(),
    actor: z.string(),
    data: z.record(z.string(), z.unknown()),
  })
  .openapi('Event');

export const logLineSchema = z
  .object({
    at: time,
    source: z.string(),
    instance: z.string(),
    release: z.int().nullable(),
    stream: z.enum(['stdout', 'stderr']),
    line: z.string(),
  })
  .openapi('LogLine');

export const role = z.enum(['viewer', 'deployer', 'admin']);

export const tokenSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    role,
    createdAt: time,
    lastUsedAt: time.nullable(),
    revokedAt: time.nullable(),
  })
  .openapi('Token');

export const createdTokenSchema = tokenSchema
  .extend({ /** Shown once; only its hash is kept. */ token: z.string() })
  .openapi('CreatedToken');

/** One entry of `why`: something that happened, or something that is awaited now. */
export const whyEntrySchema = z
  .object({
    at: time,
    kind: z.enum(['happened', 'awaited']),
    message: z.string(),
    /** For awaited entries: what would unblock it. */
    unblock: z.string().nullable(),
  })
  .openapi('WhyEntry');

export const whySchema = z
  .object({
    /** What was asked about, as understood: `environment shop/staging`, `commit 1a2b3c`, `rollout 12`. */
    subject: z.string(),
    /** One sentence: how it is now. */
    summary: z.string(),
    timeline: z.array(whyEntrySchema),
  })
  .openapi('Why');

export const jobResultSchema = z
  .object({
    job: z.string(),
    outcome: z.enum(['succeeded', 'failed']),
    exitCode: z.int().nullable(),
    reason: z.string().nullable(),
  })
  .openapi('JobResult');

export const lane = z.enum(['normal', 'fallback']);

const laneSizeSchema = z.object({ cpu: z.number(), memoryBytes: z.number(), timeoutSeconds: z.number() });

export const laneSchema = z
  .object({
    lane,
    ready: z.int(),
    scheduled: z.int(),
    running: z.int(),
    /** Tasks at once, as decided. */
    slots: z.int(),
    maxSlots: z.int(),
    /** Why so many slots. */
    reason: z.string(),
    size: laneSizeSchema,
    /** What happened since the beginning; the last two seconds may be missing. */
    counts: z.object({
      done: z.int(),
      errors: z.int(),
      ooms: z.int(),
      timeouts: z.int(),
      crashes: z.int(),
      lost: z.int(),
      interrupted: z.int(),
      escalated: z.int(),
      dead: z.int(),
    }),
  })
  .openapi('Lane');

export const queueSchema = z
  .object({
    /** Name of the worker. */
    name: z.string(),
    /** `APP/ENVIRONMENT`. */
    environment: z.string(),
    lanes: z.array(laneSchema),
    ratePerMinute: z.object({ arrived: z.number(), done: z.number() }),
    /** For how long the oldest ready task has waited; null: none is ready. */
    oldestSeconds: z.number().nullable(),
    dead: z.int(),
    /** There are more ready tasks than were counted. */
    approximate: z.boolean(),
  })
  .openapi('Queue');

export const taskState = z.enum(['scheduled', 'blocked', 'ready', 'running', 'done', 'dead']);

export const taskSchema = z
  .object({
    id: z.string(),
    /** `APP/ENVIRONMENT/WORKER`. */
    queue: z.string(),
    state: taskState,
    lane,
    key: z.string().nullable(),
    priority: z.int(),
    attempts: z.int(),
    failures: z.int(),
    ooms: z.int(),
    timeouts: z.int(),
    crashes: z.int(),
    losses: z.int(),
    interruptions: z.int(),
    progress: z.unknown(),
    payload: z.unknown(),
    result: z.unknown(),
    /** The list of files that it left; null: none. */
    output: z.unknown(),
    error: z.string().nullable(),
    /** Why it died. */
    cause: z.string().nullable(),
    /** How its attempts failed, oldest first, the last 20. */
    history: z.array(z.object({ attempt: z.int(), lane, at: time, cause: z.string(), message: z.string() })),
    createdAt: time,
    /** When it may run, or could from; null: it has ended. */
    runAt: time.nullable(),
    finishedAt: time.nullable(),
  })
  .openapi('Task');

export const sizeProposalSchema = z
  .object({
    /** `not yet` has a `reason`; the others have `sizes`, what these cost, and comparisons. */
    proposal: z.looseObject({ verdict: z.enum(['split', 'one lane', 'not yet']) }),
    /** The sizes in force. */
    present: z.object({ normal: laneSizeSchema, fallback: laneSizeSchema }),
    /** Sentences for people: what to set, why, and what it saves. */
    lines: z.array(z.string()),
  })
  .openapi('SizeProposal');

export const scaleSchema = z
  .object({
    lanes: z.array(z.object({ lane, desired: z.int(), running: z.int(), ready: z.int(), reason: z.string() })),
  })
  .openapi('Scale');

export type ClusterSettings = z.infer<typeof clusterSettingsSchema>;
export type ApiCluster = z.infer<typeof clusterSchema>;
export type ApiClusterReport = z.infer<typeof clusterReportSchema>;
export type ApiDifference = z.infer<typeof differenceSchema>;
export type ApiProtection = z.infer<typeof protectionSchema>;
export type ApiQueue = z.infer<typeof queueSchema>;
export type ApiTask = z.infer<typeof taskSchema>;
export type ApiSizeProposal = z.infer<typeof sizeProposalSchema>;
export type ApiApp = z.infer<typeof appSchema>;
export type ApiEnvironment = z.infer<typeof environmentSchema>;
export type ApiEvent = z.infer<typeof eventSchema>;
export type ApiLogLine = z.infer<typeof logLineSchema>;
export type ApiProblem = z.infer<typeof problemSchema>;
export type ApiRelease = z.infer<typeof releaseSchema>;
export type ApiRollout = z.infer<typeof rolloutSchema>;
export type ApiToken = z.infer<typeof tokenSchema>;
export type ApiCreatedToken = z.infer<typeof createdTokenSchema>;
export type ApiWhy = z.infer<typeof whySchema>;
export type ApiJobResult = z.infer<typeof jobResultSchema>;
export type Role = z.infer<typeof role>;
