import { z } from 'zod';

/** What travels over HTTP: bodies of requests and of answers. */

const id = z.string().regex(/^\d{1,18}$/, 'expected an id, such as "17"');
const lane = z.enum(['normal', 'fallback']);
const held = z.object({ id, lease: id });
/** Ids of tasks that a worker holds: those claimed ahead, and those whose ends are not told yet, may be some 13,000. */
const heldIds = z.array(id).max(20_000);
const count = z.number().int().min(0).max(2_147_483_647);
/** A year. */
const seconds = z.number().min(0).max(31_536_000);

const name = z
  .string()
  .min(1)
  .max(500)
  .refine((text) => !text.includes('\0'), 'expected text without the character U+0000');
const file = z.strictObject({ name: z.string().min(1).max(255), key: z.string().min(1).max(900) });

export const newTask = z.strictObject({
  payload: z.json().default(null),
  delaySeconds: seconds.optional(),
  /** Milliseconds since 1970. */
  runAt: z.number().min(0).max(8.64e15).optional(),
  priority: z.number().int().min(-1_000_000).max(1_000_000).optional(),
  key: name.optional(),
  unique: name.optional(),
  lane: lane.optional(),
  files: z.array(file).max(1_000).optional(),
});
export const newTasks = z.strictObject({ tasks: z.array(newTask).min(1).max(1_000) });
export const ids = z.object({ ids: z.array(id) });

export const listQuery = z.strictObject({
  kind: z.string().optional(),
  state: z.enum(['scheduled', 'blocked', 'ready', 'running', 'done', 'dead']).optional(),
  after: id.default('0'),
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
});

export const registered = z.object({ workerId: z.uuid(), leaseSeconds: z.number() });

export const claimBody = z.object({
  wanted: z
    .array(
      z.object({
        kind: z.string(),
        lane,
        limit: z.number().int().min(0).max(1_000),
        /** `none`: the worker has a task on its last chance already. */
        lastChance: z.enum(['one', 'none']).default('one'),
      }),
    )
    .max(100),
  waitSeconds: z.number().min(0).max(60),
  /** Ids of all tasks that the worker holds, after the answer to a claim got lost. */
  known: heldIds.nullable(),
  /** Ids of tasks that the worker runs: it is answered when one of them is cancelled. */
  running: heldIds.default([]),
  /** As it was told last: with news since then it is answered at once. */
  slotNews: z.number().default(0),
});
export const claimed = z.object({
  /** Another number than in the answer before: slots were decided anew, a heartbeat tells how many. */
  slotNews: z.number().default(0),
  /** Those of the running tasks that were cancelled. */
  cancelled: z.array(id).default([]),
  tasks: z.array(
    z.object({
      id,
      kind: z.string(),
      lane,
      payload: z.unknown(),
      key: z.string().nullable(),
      lease: id,
      worker: z.uuid(),
      bundle: z.null(),
      priority: z.number(),
      position: z.number(),
      attempts: z.number(),
      failures: z.number(),
      losses: z.number(),
      crashes: z.number(),
      ooms: z.number(),
      timeouts: z.number(),
      lossesAllowed: z.number(),
      batchId: z.string().nullable(),
      keepSeconds: z.number(),
      trace: z.string().nullable(),
      waitedSeconds: z.number(),
    }),
  ),
});

export const beatBody = z.object({
  running: heldIds,
  /** Lanes whose numbers of slots the worker follows, with what it holds of each. */
  lanes: z
    .array(z.object({ kind: z.string(), lane, holds: count }))
    .max(100)
    .default([]),
});
export const beaten = z.object({
  lease: z.enum(['held', 'lost']),
  cancelled: z.array(id),
  slots: z.array(z.object({ kind: z.string(), lane, slots: count })),
  slotNews: z.number().default(0),
});

const error = z.string().max(20_000);
const outcome = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('done'), result: z.unknown().optional(), output: z.unknown().optional() }),
  z.object({ kind: z.literal('again'), cause: z.enum(['error', 'oom', 'timeout', 'crash']), seconds, error }),
  z.object({ kind: z.literal('escalated'), cause: z.enum(['oom', 'timeout']), error }),
  z.object({ kind: z.literal('snoozed'), seconds }),
  z.object({ kind: z.literal('interrupted') }),
  z.object({
    kind: z.literal('dead'),
    cause: z.enum([
      'retries-used',
      'discarded',
      'invalid-payload',
      'input-missing',
      'crashed',
      'out-of-memory',
      'timed-out',
    ]),
    error,
  }),
]);
const usage = z.object({
  peakBytes: z.number().min(0),
  cpuSeconds: z.number().min(0),
  wallSeconds: z.number().min(0),
  limits: z
    .object({ memoryBytes: z.number().min(0), cpu: z.number().min(0), timeoutSeconds: z.number().min(0) })
    .nullable(),
});

export const settleBody = z.object({
  ends: z
    .array(
      held.extend({
        outcome,
        usage: usage.nullable(),
        busySeconds: z.number().min(0),
        certainty: z.enum(['first', 'repeated']),
      }),
    )
    .max(1_000),
});
export const settled = z.object({
  settled: z.array(z.object({ id, verdict: z.enum(['done', 'late', 'unknown']), error: z.string().optional() })),
});

export const unclaimBody = z.object({ tasks: z.array(held).max(20_000) });
export const progressBody = z.object({ news: z.array(held.extend({ value: z.unknown().optional() })).max(1_000) });

/** Every answer that is no success. */
export const failure = z.object({ error: z.object({ code: z.string(), message: z.string(), hint: z.string() }) });
