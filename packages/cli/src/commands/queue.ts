import { SlipwayError } from '@slipway/app/errors';
import type { DeathCause } from '@slipway/queue';
import { type Command, Option } from 'commander';
import type { ApiQueue, ApiTask } from '../api.ts';
import { connect, type Client } from '../client.ts';
import { contextOf, type Context } from '../context.ts';
import { queueTarget, type QueueTarget, taskPath } from '../queue/queue-target.ts';
import { deadTable, oneQueue, oneTask, queueTable } from '../queue/queue-text.ts';
import { appliedText, proposalText, type SizeAnswer } from '../queue/size-text.ts';
import { tailQueue } from '../queue/tail.ts';
import { appOrEnvironment, wholeNumber } from '../target.ts';

const QUEUE = 'APP/ENV/WORKER, or WORKER where there is only one of that name';
/** Said here again, because a thin command does not load the queue; the types keep it whole. */
const causes: Record<DeathCause, true> = {
  'retries-used': true,
  discarded: true,
  'invalid-payload': true,
  'input-missing': true,
  lost: true,
  crashed: true,
  'out-of-memory': true,
  'timed-out': true,
};

export function define(command: Command): void {
  verb(command, 'list', 'queues and how full they are')
    .argument('[what]', 'APP or APP/ENV; everything when left out')
    .action(async (what: string | undefined) => {
      const context = contextOf(command);
      const query = new URLSearchParams();
      if (what !== undefined) {
        const { app, environment } = appOrEnvironment(what);
        query.set('app', app);
        if (environment !== null) query.set('environment', environment);
      }
      const client = await connect(context);
      const queues = await client.get<ApiQueue[]>(
        what === undefined ? '/api/queues' : `/api/queues?${query.toString()}`,
      );
      context.print(queues, queueTable(queues));
    });

  verb(command, 'show', 'a queue, or one of its tasks with its history')
    .argument('<queue>', QUEUE)
    .argument('[task]', 'id of a task')
    .action(async (name: string, task: string | undefined) => {
      const { context, client, queue } = await open(command, name);
      if (task === undefined) {
        const answer = await client.get<ApiQueue>(queue.path);
        context.print(answer, oneQueue(answer));
        return;
      }
      const answer = await client.get<ApiTask>(taskPath(queue, task));
      context.print(answer, oneTask(answer));
    });

  verb(command, 'tail', 'what happens to its tasks, from now on')
    .argument('<queue>', QUEUE)
    .action(async (name: string) => {
      const { context, client, queue } = await open(command, name);
      await tailQueue(context, client, queue);
    });

  verb(command, 'dead', 'its dead letters, the newest first')
    .argument('<queue>', QUEUE)
    .option('--limit <n>', 'how many at most', '50')
    .action(async (name: string, options: { limit: string }) => {
      const limit = wholeNumber('--limit', options.limit, 1, 1000);
      const { context, client, queue } = await open(command, name);
      const answer = await client.get<{ tasks: ApiTask[] }>(`${queue.path}/tasks?state=dead&limit=${limit}`);
      context.print(answer, deadTable(queue.name, answer.tasks, limit));
    });

  verb(command, 'retry', 'make dead tasks ready again, with all their retries')
    .argument('<queue>', QUEUE)
    .argument('[task]', 'id of a dead task')
    .option('--dead', 'all of them')
    .addOption(new Option('--cause <cause>', 'with --dead: only those that died of it').choices(Object.keys(causes)))
    .action(async (name: string, task: string | undefined, options: { dead?: boolean; cause?: string }) => {
      const which = whichDead(task, options);
      const { context, client, queue } = await open(command, name);
      if (which.task !== null) {
        const answer = await client.post<unknown>(`${taskPath(queue, which.task)}/retry`);
        context.print(answer, `Task ${which.task} of ${queue.name} is ready again.`);
        return;
      }
      const body = which.cause === null ? {} : { cause: which.cause };
      const answer = await client.post<{ retried: number }>(`${queue.path}/retry`, body);
      context.print(answer, retriedText(answer.retried, queue.name, which.cause));
    });

  verb(command, 'cancel', 'delete a waiting task; abort a running one')
    .argument('<queue>', QUEUE)
    .argument('<task>', 'its id')
    .action(async (name: string, task: string) => {
      const { context, client, queue } = await open(command, name);
      const answer = await client.delete<unknown>(taskPath(queue, task));
      context.print(answer, `Task ${task} of ${queue.name} is cancelled.`);
    });

  verb(command, 'size', 'sizes of its lanes that would have cost least for what was measured')
    .argument('<queue>', QUEUE)
    .option('--apply', 'put them in force')
    .action(async (name: string, options: { apply?: boolean }) => {
      const { context, client, queue } = await open(command, name);
      if (options.apply === true) {
        const applied = await client.post<SizeAnswer>(`${queue.path}/size`);
        context.print(applied, appliedText(queue.name, applied));
        return;
      }
      const answer = await client.get<SizeAnswer>(`${queue.path}/size`);
      context.print(answer, proposalText(queue.name, answer));
    });

  command.action((_, self: Command) => {
    const asked = self.args[0];
    throw new SlipwayError(
      'mistake',
      asked === undefined ? 'queue needs to know what to do' : `queue can't '${asked}'`,
      {
        hint: `Use: slipway queue ${self.commands.map((inner) => inner.name()).join('|')}. See: slipway queue --help`,
      },
    );
  });
  command.allowExcessArguments();
}

/** Each of them reads the options of its parents too, so the same context serves all. */
function verb(command: Command, name: string, summary: string): Command {
  return command.command(name).description(summary).copyInheritedSettings(command);
}

async function open(command: Command, name: string): Promise<{ context: Context; client: Client; queue: QueueTarget }> {
  const context = contextOf(command);
  const client = await connect(context);
  return { context, client, queue: await queueTarget(client, name) };
}

function whichDead(
  task: string | undefined,
  { dead, cause }: { dead?: boolean; cause?: string },
): { task: string; cause: null } | { task: null; cause: string | null } {
  if (task !== undefined && dead !== true && cause === undefined) return { task, cause: null };
  if (task === undefined && dead === true) return { task: null, cause: cause ?? null };
  throw new SlipwayError('mistake', 'retry takes one task, or all that are dead', {
    hint: 'Write: slipway queue retry QUEUE TASK, or: slipway queue retry QUEUE --dead [--cause CAUSE]',
  });
}

function retriedText(retried: number, queue: string, cause: string | null): string {
  const what = cause === null ? '' : ` that died of ${cause}`;
  if (retried === 0) return `There are no dead tasks${what} in ${queue}.`;
  return `${retried} dead ${retried === 1 ? 'task' : 'tasks'}${what} of ${queue} ${retried === 1 ? 'is' : 'are'} ready again.`;
}
