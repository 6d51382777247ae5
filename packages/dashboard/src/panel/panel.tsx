import { Shield, X } from 'lucide-react';
import { type ReactNode, useEffect, useRef } from 'react';
import { Actions } from '../actions/actions.tsx';
import type { ApiEnvironment } from '../api/client.ts';
import {
  Commit,
  Expiry,
  Hold,
  isOpen,
  OpenLink,
  Reason,
  reasonOf,
  Release,
  RolloutStep,
} from '../environment/facts.tsx';
import { StateBadge } from '../environment/state-badge.tsx';
import { useEnvironment, useLive } from '../live/live.tsx';
import { leaveRoute, routeTo, type Route } from '../shell/route.ts';
import { Timeline } from './timeline.tsx';
import { Why } from './why.tsx';

/** Everything about one environment, beside the page; on a phone in its place. */
export function Panel({ app, environment: name }: Route) {
  const environment = useEnvironment(`${app}/${name}`);
  const isKnown = useLive().environments !== null;
  const title = useRef<HTMLHeadingElement>(null);

  const close = () => {
    leaveRoute();
    // Where the reader came from. The card may have been folded away or removed meanwhile.
    requestAnimationFrame(() =>
      document.querySelector<HTMLElement>(`a[href="${routeTo({ app, environment: name })}"]`)?.focus(),
    );
  };
  useEffect(() => title.current?.focus({ preventScroll: true }), [app, name]);
  useEffect(() => {
    const closeOnEscape = (press: KeyboardEvent) => {
      if (press.key === 'Escape' && !document.querySelector('dialog[open]')) close();
    };
    document.addEventListener('keydown', closeOnEscape);
    return () => document.removeEventListener('keydown', closeOnEscape);
  });

  return (
    <section
      data-testid="panel"
      aria-labelledby="panel-title"
      className="z-30 border-line bg-raised max-sm:min-h-[calc(100dvh-52px)] sm:fixed sm:inset-y-0 sm:right-0 sm:w-[480px] sm:overflow-y-auto sm:border-l sm:shadow-[-12px_0_32px_rgb(var(--shadow)/0.12)]"
    >
      <div className="sticky top-0 z-20 flex items-center gap-3 border-b border-line bg-raised px-5 py-3.5">
        <h2
          id="panel-title"
          ref={title}
          tabIndex={-1}
          className="min-w-0 flex-1 truncate text-[15px] font-semibold tracking-tight outline-none"
        >
          <span className="font-normal text-muted">{app} / </span>
          {name}
        </h2>
        {environment?.protected ? (
          <Shield className="size-4 shrink-0 text-muted" role="img" aria-label="protected" />
        ) : null}
        {environment ? <StateBadge environment={environment} /> : null}
        <button type="button" aria-label="Close details" className="button !min-h-7 !px-1.5" onClick={close}>
          <X className="size-4" aria-hidden />
        </button>
      </div>
      <div className="space-y-5 px-5 py-4">
        {environment ? <Details environment={environment} /> : null}
        {!environment && isKnown ? (
          <p role="status" className="text-muted">
            There is no environment {app}/{name} now. What happened to it is below.
          </p>
        ) : null}
        {environment ? <Why environment={environment} /> : null}
        <Timeline app={app} environment={name} />
      </div>
    </section>
  );
}

function Details({ environment }: { environment: ApiEnvironment }) {
  const { rollout, heldSince, release, branch, pullRequest, url, expiresAt, state } = environment;
  const reason = reasonOf(environment);
  return (
    <>
      {isOpen(rollout) || reason || heldSince ? (
        <div
          className={`space-y-1.5 rounded-xl px-3.5 py-3 ${state === 'failing' ? 'bg-failing-soft' : isOpen(rollout) ? 'bg-rolling-soft' : 'bg-hold-soft'}`}
        >
          {isOpen(rollout) ? <RolloutStep rollout={rollout} /> : null}
          {reason ? <Reason reason={reason} lines="shown" /> : null}
          {heldSince ? <Hold commit={heldSince} /> : null}
        </div>
      ) : null}
      <dl className="grid grid-cols-[92px_minmax(0,1fr)] gap-x-3 gap-y-1.5 text-[13px]">
        <Fact name="Release">
          <Release release={release} />
        </Fact>
        {release ? (
          <Fact name="Commit">
            <span className="font-mono text-[12px] wrap-anywhere">{release.commit}</span>
          </Fact>
        ) : null}
        {isOpen(rollout) ? (
          <Fact name="Next">
            {rollout.release === null ? null : `release ${rollout.release} · `}
            <Commit commit={rollout.commit} />{' '}
            <span className="text-muted">
              ({rollout.kind} by {rollout.actor})
            </span>
          </Fact>
        ) : null}
        {branch ? <Fact name="Branch">{branch}</Fact> : null}
        {pullRequest !== null ? <Fact name="Pull request">#{pullRequest}</Fact> : null}
        {environment.from ? <Fact name="From">{environment.from}</Fact> : null}
        {url ? (
          <Fact name="URL">
            <OpenLink environment={environment} text="host" />
          </Fact>
        ) : null}
        {expiresAt ? (
          <Fact name="Lifetime">
            <Expiry until={expiresAt} />
          </Fact>
        ) : null}
        {environment.services.map((service) => (
          <Fact key={`service ${service.name}`} name="Service">
            {service.name} <Ready {...service} />
          </Fact>
        ))}
        {environment.workers.map((worker) => (
          <Fact key={`worker ${worker.name}`} name="Worker">
            {worker.name} <Ready {...worker} />
          </Fact>
        ))}
      </dl>
      <Actions environment={environment} />
    </>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-muted">{name}</dt>
      <dd className="min-w-0 wrap-anywhere">{children}</dd>
    </>
  );
}

function Ready({ ready, desired }: { ready: number; desired: number }) {
  return (
    <span className="text-muted">
      {ready} of {desired} ready
    </span>
  );
}
