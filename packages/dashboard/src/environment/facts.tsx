import { Anchor, ArrowUpRight } from 'lucide-react';
import type { ApiEnvironment } from '../api/client.ts';
import { elapsed, remaining, useClockText } from '../live/clock.ts';
import { Prose } from '../shell/prose.tsx';

/** As people read them aloud; the whole id is in the title. */
export function Commit({ commit }: { commit: string }) {
  return (
    <span className="font-mono text-[12px]" title={commit}>
      {commit.slice(0, 7)}
    </span>
  );
}

export function Release({ release }: { release: ApiEnvironment['release'] }) {
  if (!release) return <span className="text-muted">no release yet</span>;
  return (
    <span data-testid="release" className="whitespace-nowrap">
      release <span className="font-medium">{release.number}</span>
      <span className="text-muted"> · </span>
      <Commit commit={release.commit} />
    </span>
  );
}

/** The step of a rollout that is under way or waits, and for how long. */
export function RolloutStep({ rollout }: { rollout: NonNullable<ApiEnvironment['rollout']> }) {
  const time = useClockText((now) => elapsed(rollout.createdAt, now));
  return (
    <p data-testid="step" className="text-[13px] text-rolling wrap-anywhere">
      <span className="font-medium">{rollout.step}</span>
      <span className="whitespace-nowrap"> · {time}</span>
    </p>
  );
}

export const isOpen = (rollout: ApiEnvironment['rollout']): rollout is NonNullable<ApiEnvironment['rollout']> =>
  rollout?.state === 'waiting' || rollout?.state === 'running';

/** The reason, unless the step of the open rollout says the same. */
export function reasonOf({ reason, state, rollout }: ApiEnvironment): string | null {
  const saidByStep =
    isOpen(rollout) && (reason === rollout.step || (rollout.approval === 'required' && state !== 'failing'));
  return saidByStep ? null : reason;
}

/** The sentence of a reason, and the log lines below it where there is room. */
export function Reason({ reason, lines }: { reason: string; lines: 'shown' | 'left out' }) {
  const [sentence = '', ...rest] = reason.trim().split('\n');
  return (
    <div data-testid="reason" className="text-[13px] wrap-anywhere">
      <p className={lines === 'shown' ? '' : 'line-clamp-6'}>
        <Prose text={sentence} />
      </p>
      {rest.length > 0 && lines === 'shown' ? (
        <pre
          tabIndex={0}
          aria-label="Last lines"
          className="mt-2 max-h-72 overflow-auto rounded-md border border-line bg-ground px-3 py-2 font-mono text-[12px] whitespace-pre-wrap text-ink"
        >
          {rest.join('\n')}
        </pre>
      ) : null}
      {rest.length > 0 && lines === 'left out' ? (
        <p className="mt-0.5 text-[12.5px] text-muted">
          and {rest.length} {rest.length === 1 ? 'line' : 'lines'} of its output in the details
        </p>
      ) : null}
    </div>
  );
}

export function Hold({ commit }: { commit: string }) {
  return (
    <p data-testid="hold" className="flex gap-1.5 text-[12.5px] text-hold">
      <Anchor className="mt-[3px] size-3.5 shrink-0" aria-hidden />
      <span>
        Held since <Commit commit={commit} />: automatic deploys wait for a newer commit
      </span>
    </p>
  );
}

export function Expiry({ until }: { until: string }) {
  const time = useClockText((now) => remaining(until, now));
  return (
    <span data-testid="expiry" className="whitespace-nowrap" title={new Date(until).toLocaleString()}>
      removed in {time}
    </span>
  );
}

/** How fewer ready instances than wanted look: expected while something moves, wrong otherwise. */
const shortOf: Record<ApiEnvironment['state'], string> = {
  ready: 'text-failing',
  failing: 'text-failing',
  rolling: 'text-rolling',
  asleep: 'text-muted',
  removing: 'text-muted',
};

/** Services and workers with how many instances are ready of how many are wanted. */
export function Instances({ environment }: { environment: ApiEnvironment }) {
  const processes = [...environment.services, ...environment.workers];
  if (processes.length === 0) return null;
  return (
    <ul
      data-testid="instances"
      aria-label="Ready instances"
      className="flex flex-wrap gap-x-3 gap-y-0.5 text-[12.5px] text-muted"
    >
      {processes.map(({ name, ready, desired }) => (
        <li key={name} className="whitespace-nowrap">
          {name}{' '}
          <span className={ready < desired ? `font-semibold ${shortOf[environment.state]}` : 'text-ink'}>
            {ready}/{desired}
          </span>
        </li>
      ))}
    </ul>
  );
}

/** Link to what the environment serves; only what can be opened in a browser becomes a link. */
export function OpenLink({ environment, text }: { environment: ApiEnvironment; text: 'host' | 'icon' }) {
  const { url } = environment;
  if (url === null || !/^https?:\/\//.test(url)) return null;
  const label = `Open ${environment.app}/${environment.environment}`;
  return (
    <a
      href={url}
      target="_blank"
      rel="noreferrer"
      data-testid="open"
      aria-label={text === 'icon' ? label : undefined}
      title={url}
      className={`relative z-10 inline-flex min-w-0 items-center gap-0.5 rounded text-[12.5px] text-accent underline-offset-2 hover:underline ${text === 'icon' ? '-m-1.5 p-1.5' : ''}`}
    >
      {text === 'host' ? <span className="truncate">{new URL(url).host}</span> : null}
      <ArrowUpRight className="size-3.5 shrink-0" aria-hidden />
    </a>
  );
}
