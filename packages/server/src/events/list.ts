import type { ApiEvent } from '../api/schemas.ts';
import type { Context } from '../context.ts';
import { rows } from '../database/sql.ts';
import { eventColumns, eventTable, type EventRow } from './changes.ts';

export interface EventFilter {
  app?: string | undefined;
  environment?: string | undefined;
  /** Sha, may be abbreviated. */
  commit?: string | undefined;
  /** Only events with a greater id, the oldest ones first. */
  after?: number | undefined;
  limit: number;
}

/** Events in the order they happened: the newest `limit`, or with `after` the `limit` that follow it. */
export async function listEvents(context: Pick<Context, 'pool'>, filter: EventFilter): Promise<ApiEvent[]> {
  const direction = filter.after === undefined ? 'desc' : 'asc';
  const found = await rows<EventRow>(
    context.pool,
    `select ${eventColumns} from ${eventTable}
     where ($1::text is null or app.name = $1) and ($2::text is null or environment.name = $2)
       and ($3::text is null or event.sha like $3 || '%') and event.id > $4
     order by event.id ${direction} limit $5`,
    [
      filter.app ?? null,
      filter.environment ?? null,
      filter.commit === undefined ? null : filter.commit.replace(/[^0-9a-f]/g, ''),
      filter.after ?? 0,
      filter.limit,
    ],
  );
  return (direction === 'desc' ? found.toReversed() : found).map(viewEvent);
}

export function viewEvent(event: EventRow): ApiEvent {
  return {
    id: event.id,
    at: event.at.toISOString(),
    app: event.app,
    environment: event.environment,
    commit: event.sha,
    kind: event.kind,
    message: event.message,
    actor: event.actor,
    data: event.data,
  };
}
