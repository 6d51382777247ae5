import { z } from 'zod';
import {
  describe,
  flag,
  leaf,
  list,
  nameText,
  oneOf,
  seconds,
  secondsOrNever,
  section,
  text,
  whole,
  WRONG,
} from './fields.ts';
import { image } from './image.ts';
import { kubernetesSchema } from './kubernetes.ts';
import { APP_NAME, LABEL } from './names.ts';
import { cpu, cron, memory, percentage, rate, replicas } from './units.ts';
import type { Reading } from './units.ts';

/**
 * The fields of `slipway.yaml`, each with its description for editors and docs. What spans several fields (unknown names,
 * cycles, collisions) is in `rules.ts`; defaults are in `defaults.ts`.
 */

const PATH_HINT = (value: string): string => (value.startsWith('/') ? '' : `did you mean "/${value}"?`);
const HOST = /^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const HOST_HINT = (value: string): string => {
  const bare = value
    .toLowerCase()
    .replace(/^[a-z]+:\/\//, '')
    .replace(/[:/].*$/, '');
  return HOST.test(bare) ? `did you mean "${bare}"?` : '';
};
/** What git allows as a branch, without `refs/heads/`. */
const BRANCH = /^(?!-)(?!.*(\.\.|\/\/|@\{))(?!\/)[^\s~^:?*[\\\p{Cc}]+(?<![./])(?<!\.lock)$/u;

const run = () => text('Shell command that starts it, run with sh -c in the checkout.', 'a shell command');
const build = () =>
  text(
    'Shell command, run once per release in the checkout before anything starts. Default: nothing to build.',
    'a shell command',
  )
    .nullable()
    .optional();
const stop = () => seconds('Grace between SIGTERM and SIGKILL. Default 30s.', 0).optional();
const cores = (what: string) =>
  leaf('cores such as 0.25 or 250m', { type: ['number', 'string'], description: what }, cpu).optional();
const bytes = (what: string) =>
  leaf('a size such as 256Mi, 2Gi or 500M', { type: 'string', description: what }, memory).optional();
const size = () =>
  z
    .strictObject({
      cpu: cores('CPU cores, 0.25 or 250m. Default 0.25.'),
      memory: bytes('Memory limit, 256Mi or 2Gi. Default 256Mi.'),
    })
    .meta({ description: 'What one instance may use.' })
    .nullable()
    .optional();

const serviceSchema = z
  .strictObject({
    build: build(),
    run: run(),
    image: image(),
    port: whole(
      'Port it listens on where instances have addresses of their own (Kubernetes). Everywhere: listen on $PORT. Default: none.',
      1,
      65_535,
    )
      .nullable()
      .optional(),
    health: text(
      'Path that answers 2xx or 3xx when healthy. Default: an open port is enough.',
      'a path such as /healthz',
      {
        is: /^\/[^\s#]*$/,
        hint: PATH_HINT,
      },
    )
      .nullable()
      .optional(),
    route: text(
      'Public path prefix; the host comes from the environment. Default / when the app has one service, else not public. null: not public.',
      'a path such as / or /api',
      {
        is: /^\/(?!.*\/\/)(?!.*\/\.\.?(\/|$))[^\s?#*]*$/,
        hint: PATH_HINT,
      },
    )
      .nullable()
      .optional(),
    size: size(),
    replicas: leaf(
      'a number or a range such as 2 or 2..6',
      { type: ['integer', 'string'], description: 'How many instances: fixed, or a range scaled on CPU. Default 1.' },
      replicas({
        atLeast: 1,
        why: 'a service has at least 1; to stop it while nobody uses it, give its environment "sleep"',
      }),
    ).optional(),
    needs: list(
      'Services that start first and the only ones it may call; each address is in <NAME>_URL. Default: none.',
      nameText('Name of a service of this app.', LABEL),
    )
      .nullable()
      .optional(),
    start: seconds('How long a new instance may take until it is healthy. Default 60s.', 0.1).optional(),
    stop: stop(),
  })
  .meta({ description: 'A long-running process that answers requests on a port.' });

const lane = (description: string) =>
  z
    .strictObject({
      cpu: cores('CPU cores. Default 0.25; in the fallback lane as in the normal one.'),
      memory: bytes('Memory limit. Default 256Mi; in the fallback lane four times the normal one.'),
      timeout: seconds(
        'How long one attempt may take. Default 60s; in the fallback lane ten times the normal one.',
        0.1,
      ).optional(),
    })
    .meta({ description })
    .nullable()
    .optional();

const workerSchema = z
  .strictObject({
    build: build(),
    run: text(
      'Shell command that does a task, run with sh -c in the checkout. It finds the task in $SLIPWAY_PAYLOAD and ends with exit code 0 when it is done.',
      'a shell command',
    ),
    process: oneOf(
      'per-task: the command runs once for each task; kept: it stays alive and gets one task after the other over file descriptors 3 and 4. Default per-task.',
      ['per-task', 'kept'],
    ).optional(),
    image: image(),
    normal: lane('The lane every task begins in.'),
    fallback: lane('The lane for tasks that ran out of memory or time in the normal one. Default: no such lane.'),
    replicas: leaf(
      'a number or a range such as 2 or 0..20',
      {
        type: ['integer', 'string'],
        description: 'How many tasks at once in each lane: fixed, or a range scaled on the queue. Default 0..20.',
      },
      replicas({ atLeast: 0, why: '' }),
    ).optional(),
    sizes: oneOf(
      'fixed: the lanes are as large as written; auto: they begin so and follow what is measured. Default fixed.',
      ['fixed', 'auto'],
    ).optional(),
    drain: seconds('How fast a backlog should be gone. Default 60s.', 1).optional(),
    rate: leaf(
      'a rate such as 100/s or 5/m',
      { type: ['string', 'null'], description: 'Tasks started per time at most. Default: unlimited.' },
      rate,
    )
      .nullable()
      .optional(),
    retries: whole('How often a failing task is tried again. Default 5.', 0, 100).optional(),
    keep: seconds('How long results of tasks are kept. Default 24h.', 0).optional(),
    'key-limit': whole('How many tasks of one key run at once. Default: any number; keys take turns.', 1, 1000)
      .nullable()
      .optional(),
    stop: seconds(
      'How long a task may go on after SIGTERM, before it is handed to another runner. Default 30s.',
      0,
    ).optional(),
  })
  .meta({ description: 'A command that does the tasks of a queue.' });

const jobSchema = z
  .strictObject({
    run: text('Shell command that runs to its end, with sh -c in the checkout.', 'a shell command'),
    image: image(),
    when: oneOf('before-deploy: before new instances start; by-hand: only with "slipway run". Default by-hand.', [
      'before-deploy',
      'by-hand',
    ]).optional(),
    schedule: leaf(
      'five cron fields such as "0 3 * * *"',
      { type: 'string', description: 'When it runs: five cron fields, UTC. Not together with when.' },
      cron,
    ).optional(),
    size: size(),
    timeout: seconds('How long it may take. Default 10m.', 0.1).optional(),
  })
  .meta({ description: 'A command that runs to its end: before a deploy, on a schedule, or by hand.' });

const checkSchema = z
  .strictObject({
    run: text('Shell command, run over a read-only checkout of each commit; exit code 0 passes.', 'a shell command'),
    timeout: seconds('How long it may take. Default 15m.', 0.1).optional(),
  })
  .meta({ description: 'A command that passes or fails on one commit.' });

const toolsSchema = z
  .unknown()
  .transform((value, context): 'auto' | string[] => {
    if (value === 'auto') return value;
    if (Array.isArray(value) && value.every((name) => typeof name === 'string' && LABEL.pattern.test(name)))
      return value;
    const found = Array.isArray(value) ? 'a list with something else than tool names' : describe(value);
    context.issues.push({
      code: 'custom',
      message: `found ${found}, expected auto or a list of tool names`,
      input: value,
    });
    return z.NEVER;
  })
  .meta({
    description: 'auto, or a list from the tool catalogue. Default: no tools.',
    anyOf: [{ const: 'auto' }, { type: 'array', items: { type: 'string' } }],
  });

const databaseSchema = z
  .strictObject({
    engine: oneOf('Which database. Default postgres.', ['postgres']).optional(),
    env: text(
      'Environment variable that gets its URL. May be one of secrets.',
      'the name of an environment variable such as DATABASE_URL',
    ),
    seed: text('Shell command that fills a new one. Default: none.', 'a shell command').nullable().optional(),
  })
  .meta({ description: 'A database that previews get a copy of.' });

const hostText = () => text('Host name.', 'a host name such as shop.example.com', { is: HOST, hint: HOST_HINT });

const environmentSchema = z
  .strictObject({
    branch: text('Source: pushes to this branch.', 'the name of a branch', {
      is: BRANCH,
      hint: (value) => (value.includes('*') ? 'one environment has one branch' : ''),
    }).optional(),
    from: nameText('Source: promotion from this environment.', LABEL).optional(),
    'pull-requests': flag('Source: one environment for each open pull request.').optional(),
    approve: flag('A person approves each rollout. Default false.').optional(),
    protected: flag('Removing it needs its name typed. Default false.').optional(),
    traffic: z
      .array(leaf('a percentage such as 5%', { type: 'string', description: 'Share of requests.' }, percentage))
      .meta({
        description: 'Shares of traffic the new release gets step by step, ascending, the last 100%. Default [100%].',
      })
      .optional(),
    hold: seconds('Time between two traffic steps. Default 5m.', 0).optional(),
    host: z
      .union([hostText(), z.array(hostText())])
      .meta({ description: 'Host names of its own. Default: <environment>.<app>.<domain>.' })
      .optional(),
    ttl: secondsOrNever(
      'Pull requests only: removed after this time without a push, or never. Default 72h.',
    ).optional(),
    sleep: secondsOrNever(
      'Stopped after this time without a request, woken by the next one; or never. Default 30m for pull requests, else never.',
    ).optional(),
    ceiling: z
      .strictObject({
        cpu: cores('CPU cores, 0.5 or 500m. Default: what the machine has.'),
        memory: bytes('Memory, 512Mi or 2Gi. Default: what the machine has.'),
      })
      .meta({
        description: 'Workers: the largest size that an attempt may have here, in either lane. Default: no such limit.',
      })
      .nullable()
      .optional(),
    engine: nameText(
      'Engine that runs it: machine, kubernetes, or the name of one of your own. Default machine.',
      LABEL,
    ).optional(),
  })
  .meta({ description: 'A named place that runs a release. Exactly one source: branch, from or pull-requests.' });

const variableValue = () =>
  leaf('text or a number', { type: ['string', 'number', 'boolean'], description: 'Value of the variable.' }, variable);

/** The value of an environment variable: text, or a number or boolean, whose written form counts (see `config.ts`). */
export function variable(value: unknown): Reading<string> {
  if (value === null) return { wrong: 'write "" for an empty value' };
  if (typeof value === 'string') return value.includes('\0') ? { wrong: 'it holds a NUL character' } : { value };
  return typeof value === 'number' || typeof value === 'boolean' ? { value: `${value}` } : WRONG;
}

export const fileSchema = z
  .strictObject({
    app: nameText('Name of the app; becomes part of its host names.', APP_NAME),
    services: section('Long-running processes that answer requests.', serviceSchema),
    workers: section('Commands that do the tasks of a queue.', workerSchema),
    jobs: section('Commands that run to their end.', jobSchema),
    checks: z
      .strictObject({ tools: toolsSchema.nullable().optional() })
      .catchall(checkSchema)
      .meta({ description: 'What runs on each commit; a rollout waits for it.' })
      .nullable()
      .optional(),
    config: section('Environment variables of every process; config/<environment>.yaml overrides.', variableValue()),
    secrets: list(
      'Names of secrets; values are encrypted in secrets/<environment>.yaml.',
      text('Name of an environment variable.', 'the name of an environment variable'),
    )
      .nullable()
      .optional(),
    databases: section('Databases; previews get their own.', databaseSchema),
    environments: section(
      'Named places that run releases. Default: staging from the default branch, and preview for pull requests.',
      environmentSchema,
    ),
    kubernetes: kubernetesSchema,
  })
  .meta({ title: 'slipway.yaml', description: 'What a team declares about one app.' });

/** The file as it was written, sizes in plain units, without defaults. */
export type AppFile = z.output<typeof fileSchema>;

/** JSON Schema of `slipway.yaml` for editors (draft 2020-12). */
export function jsonSchema(): object {
  return z.toJSONSchema(fileSchema, { io: 'input' });
}
