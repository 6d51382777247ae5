import { randomUUID } from 'node:crypto';
import { createRoute, z } from '@hono/zod-openapi';
import { stream } from 'hono/streaming';
import { nearest, SlipwayError } from '@slipway/app';
import type { LogLine } from '@slipway/engine';
import { requireRole } from '../access/tokens.ts';
import { appendEvent } from '../events/append.ts';
import { runJob } from '../rollouts/jobs.ts';
import { findRelease } from '../rollouts/plan.ts';
import { findEnvironment } from './find.ts';
import { problemOf, problems, streamed, type RouteGroup } from './http.ts';
import type { ApiJobResult, ApiLogLine } from './schemas.ts';

const environmentParam = z.object({ app: z.string(), environment: z.string() });
const lines = { content: { 'application/x-ndjson': { schema: z.string() } } };

/** Logs of what runs, and jobs by hand: both stream one JSON object a line. */
export const runningRoutes: RouteGroup = (api, context) => {
  api.openapi(
    createRoute({
      method: 'get',
      path: '/api/apps/{app}/environments/{environment}/logs',
      summary: 'Log lines, oldest first',
      request: {
        params: environmentParam,
        query: z.object({
          source: z.string().optional().meta({ description: 'Service, worker or job' }),
          lines: z.coerce.number().int().min(0).max(100_000).default(200),
          follow: z.enum(['true', 'false']).default('false'),
        }),
      },
      responses: { 200: { description: 'One LogLine a line', ...lines }, ...problems },
    }),
    async (c) => {
      const { app, environment } = c.req.valid('param');
      const query = c.req.valid('query');
      const found = await findEnvironment(context, app, environment);
      const known =
        found.plan?.releases.flatMap((release) => [...release.services, ...release.workers].map(({ name }) => name)) ??
        [];
      if (query.source !== undefined) {
        const current = await context.pool.query<{ definition: { jobs: object } }>(
          `select definition from release where app_id = $1 and environment_id = $2 order by number desc limit 1`,
          [found.appId, found.id],
        );
        refuseUnknown(query.source, [...known, ...Object.keys(current.rows[0]?.definition.jobs ?? {})], found.name);
      }
      c.header('content-type', 'application/x-ndjson');
      c.header('X-Accel-Buffering', 'no');
      return streamed(
        stream(c, async (out) => {
          const abort = new AbortController();
          out.onAbort(() => abort.abort());
          const request = {
            environment: `${found.app}/${found.name}`,
            source: query.source ?? null,
            lines: query.lines,
            follow: query.follow === 'true',
          };
          try {
            for await (const line of context.engines.of(found).engine.logs(request, abort.signal))
              await out.write(`${JSON.stringify(viewLine(line))}\n`);
          } catch (error) {
            if (!abort.signal.aborted) await out.write(`${JSON.stringify({ error: problemOf(error, context.log) })}\n`);
          }
        }),
      );
    },
  );

  api.openapi(
    createRoute({
      method: 'post',
      path: '/api/apps/{app}/environments/{environment}/jobs/{job}/run',
      summary: 'Run a declared job by hand, with the release that serves',
      request: { params: environmentParam.extend({ job: z.string() }) },
      responses: { 200: { description: '{log} lines, then {result}', ...lines }, ...problems },
    }),
    async (c) => {
      const identity = c.get('identity');
      requireRole(identity, 'deployer', 'running jobs');
      const { app, environment, job: name } = c.req.valid('param');
      const found = await findEnvironment(context, app, environment);
      const target =
        found.currentRelease === null ? null : await findRelease(context, found.appId, found.currentRelease);
      if (!target)
        throw new SlipwayError(
          'conflict',
          `${found.name} has no release yet, so there is nothing to run ${name} with.`,
          {
            hint: `slipway why ${app}/${found.name}`,
          },
        );
      const job = target.release.definition.jobs[name];
      if (!job) throw unknownJob(name, Object.keys(target.release.definition.jobs), found.name);
      const about = { appId: found.appId, environmentId: found.id, actor: identity.name, data: { job: name } };
      await appendEvent(context.pool, {
        kind: 'job.started',
        ...about,
        message: `${identity.name} runs the job ${name} in ${found.name}.`,
      });
      c.header('content-type', 'application/x-ndjson');
      c.header('X-Accel-Buffering', 'no');
      return streamed(
        stream(c, async (out) => {
          try {
            // The job goes on when nobody listens any more; its output is in the logs.
            const result = await runJob(context, {
              id: `by-hand-${randomUUID()}`,
              environment: found,
              name,
              job,
              target,
              signal: AbortSignal.timeout((job.timeout + 60) * 1000),
              output: (line) => void out.write(`${JSON.stringify({ log: viewLine(line) })}\n`),
            });
            const answer: ApiJobResult = {
              job: name,
              outcome: result.outcome,
              exitCode: result.outcome === 'succeeded' ? 0 : (result.failure?.exitCode ?? null),
              reason: result.failure?.message ?? null,
            };
            await appendEvent(context.pool, {
              kind: result.outcome === 'succeeded' ? 'job.passed' : 'job.failed',
              ...about,
              message: `Job ${name} ${result.outcome === 'succeeded' ? 'passed.' : `failed: ${answer.reason}`}`,
            });
            await out.write(`${JSON.stringify({ result: answer })}\n`);
          } catch (error) {
            await out.write(`${JSON.stringify({ error: problemOf(error, context.log) })}\n`);
          }
        }),
      );
    },
  );
};

function viewLine(line: LogLine): ApiLogLine {
  return { ...line, at: new Date(line.at).toISOString() };
}

function refuseUnknown(source: string, known: string[], environment: string): void {
  if (known.length === 0 || known.includes(source)) return;
  const near = nearest(source, known);
  throw new SlipwayError('not-found', `${environment} has no service, worker or job ${source}.`, {
    hint: near === null ? `It has ${known.join(', ')}.` : `Did you mean ${near}?`,
  });
}

function unknownJob(name: string, jobs: string[], environment: string): SlipwayError {
  const near = nearest(name, jobs);
  const list = jobs.length === 0 ? 'Its release declares no jobs.' : `It has ${jobs.join(', ')}.`;
  return new SlipwayError('not-found', `${environment} has no job ${name}.`, {
    hint: near === null ? list : `Did you mean ${near}?`,
  });
}
