import type { SSEStreamingApi } from 'hono/streaming';
import { viewEnvironments } from '../environments/view.ts';
import { listEvents, viewEvent } from '../events/list.ts';
import type { Context } from '../context.ts';
import { rows } from '../database/sql.ts';
import { every, Outbox } from './outbox.ts';

/** Seconds between comments on a silent stream, so that proxies and clients know it lives. */
const keepAliveSeconds = 25;

const pageLength = 1_000;

export interface StreamRequest {
  wanted: { app?: string | undefined; environment?: string | undefined };
  /** Id of the last event the client got; null: it wants only new ones. */
  after: number | null;
}

/**
 * One client's stream: the events it missed, each environment as it is, `synced`, then every change until it goes away. It listens before it
 * reads, so that nothing falls between the two; what it hears meanwhile waits its turn.
 */
export async function streamChanges(
  context: Context,
  stream: SSEStreamingApi,
  { wanted, after }: StreamRequest,
): Promise<void> {
  const outbox = new Outbox(stream);
  /** Environments whose newest state waits to be sent: changes that come before then are in it. */
  const pending = new Set<string>();
  const names = new Map<string, Named>();
  const missed = new Set<number>();
  const send = async (event: string, data: object, id?: number): Promise<void> =>
    await stream.writeSSE({ event, data: JSON.stringify(data), ...(id === undefined ? {} : { id: String(id) }) });
  const sendEnvironment = async (id: string): Promise<void> => {
    pending.delete(id);
    const [view] = await viewEnvironments(context, { ids: [id] });
    const name = view ? { app: view.app, environment: view.environment } : names.get(id);
    if (view && name) names.set(id, name);
    else names.delete(id);
    if (name && matches(wanted, name)) await (view ? send('environment', view) : send('removed', name));
  };
  const releasers = [
    context.changes.onEnvironment((id) => {
      if (pending.has(id)) return;
      pending.add(id);
      outbox.push(() => sendEnvironment(id));
    }),
    context.changes.onEvent((event) => {
      if (!matches(wanted, event)) return;
      outbox.push(async () => {
        if (!missed.has(event.id)) await send('event', viewEvent(event), event.id);
      });
    }),
    every(keepAliveSeconds, () => outbox.push(async () => void (await stream.write(': alive\n\n')))),
  ];
  try {
    for (let from = after; from !== null;) {
      const page = await listEvents(context, { ...wanted, after: from, limit: pageLength });
      for (const event of page) {
        missed.add(event.id);
        await send('event', event, event.id);
      }
      from = page.length === pageLength ? (page.at(-1)?.id ?? null) : null;
    }
    const environments = await rows<Named & { id: string }>(
      context.pool,
      `select environment.id, app.name as app, environment.name as environment
       from environment join app on app.id = environment.app_id where removal <> 'removed'`,
    );
    for (const { id, ...name } of environments) names.set(id, name);
    for (const view of await viewEnvironments(context, wanted.app === undefined ? {} : { app: wanted.app }))
      if (matches(wanted, view)) await send('environment', view);
    await send('synced', {});
    await outbox.run();
  } finally {
    for (const release of releasers) release();
  }
}

interface Named {
  app: string | null;
  environment: string | null;
}

function matches(wanted: StreamRequest['wanted'], found: Named): boolean {
  return (
    (wanted.app === undefined || wanted.app === found.app) &&
    (wanted.environment === undefined || wanted.environment === found.environment)
  );
}
