import { useQuery } from '@tanstack/react-query';
import { api, type ApiEvent } from '../api/client.ts';
import { Problem } from '../shell/problem.tsx';
import { Prose } from '../shell/prose.tsx';

/** What happened, newest first, by day. New events arrive through the live store. */
export function Timeline({ app, environment }: { app: string; environment: string }) {
  const events = useQuery({
    queryKey: ['events', app, environment],
    queryFn: () => api.events(app, environment),
    staleTime: Infinity,
  });
  if (events.error) return <Problem error={events.error} />;
  const newestFirst = (events.data ?? []).toReversed();
  return (
    <section data-testid="timeline" aria-labelledby="timeline-title">
      <h3 id="timeline-title" className="text-[13px] font-semibold">
        What happened
      </h3>
      {events.isSuccess && newestFirst.length === 0 ? (
        <p className="mt-1 text-[13px] text-muted">Nothing yet.</p>
      ) : null}
      <ol className="mt-2">
        {newestFirst.map((event, index) => {
          const day = dayOf(event.at);
          const previous = newestFirst[index - 1];
          return (
            <li key={event.id} data-testid="happened">
              {previous && dayOf(previous.at) === day ? null : (
                <p className="pt-2 pb-1 text-[12px] font-medium text-muted">{day}</p>
              )}
              <Entry event={event} />
            </li>
          );
        })}
      </ol>
      {newestFirst.length >= 100 ? (
        <p className="mt-3 text-[12.5px] text-muted">
          Older events: <code className="font-mono text-ink">{`slipway events ${app}/${environment}`}</code>
        </p>
      ) : null}
    </section>
  );
}

function Entry({ event }: { event: ApiEvent }) {
  const tone = toneOf(event.kind);
  return (
    <div className="relative grid grid-cols-[64px_minmax(0,1fr)] gap-x-6 pb-3 text-[13px]">
      <time
        dateTime={event.at}
        title={new Date(event.at).toLocaleString()}
        className="text-[12px] leading-5 text-muted"
      >
        {new Date(event.at).toLocaleTimeString([], {
          hour: '2-digit',
          minute: '2-digit',
          second: '2-digit',
          hour12: false,
        })}
      </time>
      <span
        aria-hidden
        className="absolute top-[13px] -bottom-[7px] left-[75px] w-px bg-line [li:last-child_&]:hidden"
      />
      <span
        aria-hidden
        className={`absolute top-[6px] left-[71px] size-[9px] rounded-full border-2 border-raised ${tone}`}
      />
      <div className="min-w-0">
        <p className="whitespace-pre-wrap wrap-anywhere">
          <Prose text={event.message} />
        </p>
        <p className="text-[12px] text-muted">
          {event.kind} · {event.actor}
        </p>
      </div>
    </div>
  );
}

function toneOf(kind: string): string {
  const outcome = kind.slice(kind.lastIndexOf('.') + 1);
  if (['failed', 'failing', 'refused'].includes(outcome)) return 'bg-failing';
  if (['succeeded', 'ready', 'passed'].includes(outcome)) return 'bg-ready';
  return 'bg-line-strong';
}

function dayOf(at: string): string {
  return new Date(at).toLocaleDateString([], { weekday: 'long', day: 'numeric', month: 'long' });
}
