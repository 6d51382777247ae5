import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Hourglass } from 'lucide-react';
import { api, type ApiEnvironment } from '../api/client.ts';
import { elapsed, useClockText } from '../live/clock.ts';
import { Problem } from '../shell/problem.tsx';
import { Prose } from '../shell/prose.tsx';

/** How it is now and what is waited for; what happened is the timeline's. Asked again whenever the environment changes. */
export function Why({ environment }: { environment: ApiEnvironment }) {
  const { app, environment: name, updatedAt, state, rollout } = environment;
  const why = useQuery({
    queryKey: ['why', app, name, `${updatedAt} ${state} ${rollout?.step}`],
    queryFn: () => api.why(app, name),
    placeholderData: keepPreviousData,
    gcTime: 10_000,
  });
  if (why.error) return <Problem error={why.error} />;
  const awaited = why.data?.timeline.filter(({ kind }) => kind === 'awaited') ?? [];
  return (
    <section data-testid="why" aria-labelledby="why-title" className="min-h-12">
      <h3 id="why-title" className="text-[13px] font-semibold">
        Why
      </h3>
      <p className="mt-1 text-[13px] wrap-anywhere">
        <Prose text={why.data?.summary ?? ''} />
      </p>
      {awaited.length > 0 ? (
        <ul className="mt-2 space-y-2">
          {awaited.map((entry) => (
            <li
              key={`${entry.at} ${entry.message}`}
              className="flex gap-2 rounded-lg border border-line px-3 py-2 text-[13px]"
            >
              <Hourglass className="mt-[3px] size-3.5 shrink-0 text-rolling" aria-hidden />
              <div className="min-w-0 wrap-anywhere">
                <p>
                  <Prose text={entry.message} /> <Since at={entry.at} />
                </p>
                {entry.unblock ? (
                  <p className="mt-0.5 text-muted">
                    <Prose text={entry.unblock} />
                  </p>
                ) : null}
              </div>
            </li>
          ))}
        </ul>
      ) : null}
    </section>
  );
}

function Since({ at }: { at: string }) {
  return <span className="text-muted">{useClockText((now) => `for ${elapsed(at, now)}`)}</span>;
}
