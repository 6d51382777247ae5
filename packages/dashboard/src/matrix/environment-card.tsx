import { GitBranch, Package, Shield } from 'lucide-react';
import { memo, type ReactNode } from 'react';
import { Actions } from '../actions/actions.tsx';
import type { ApiEnvironment } from '../api/client.ts';
import {
  Commit,
  Expiry,
  Hold,
  Instances,
  isOpen,
  OpenLink,
  Reason,
  reasonOf,
  Release,
  RolloutStep,
} from '../environment/facts.tsx';
import { StateBadge } from '../environment/state-badge.tsx';
import { routeTo } from '../shell/route.ts';

interface Props {
  environment: ApiEnvironment;
  /** Its details are open beside the page. */
  isOpened: boolean;
}

/** A long-lived environment. */
export const EnvironmentCard = memo(function EnvironmentCard({ environment, isOpened }: Props) {
  const { rollout, heldSince, branch } = environment;
  const reason = reasonOf(environment);
  return (
    <Card environment={environment} isOpened={isOpened} className="gap-2 p-3.5">
      <div className="flex items-baseline gap-2">
        <CoverLink environment={environment} />
        {environment.protected ? (
          <Shield className="size-3.5 shrink-0 self-center text-muted" role="img" aria-label="protected" />
        ) : null}
        <span className="ml-auto" />
        <StateBadge environment={environment} />
      </div>
      <div className="flex min-w-0 flex-wrap items-center gap-x-3 gap-y-0.5 text-[13px]">
        <Release release={environment.release} />
        {branch ? <Branch name={branch} /> : null}
      </div>
      {isOpen(rollout) ? <RolloutStep rollout={rollout} /> : null}
      {reason ? <Reason reason={reason} lines="left out" /> : null}
      {heldSince ? <Hold commit={heldSince} /> : null}
      <Instances environment={environment} />
      <div className="mt-auto flex flex-wrap items-center gap-x-3 gap-y-2 pt-1">
        <div className="flex min-w-0 flex-1 basis-28">
          <OpenLink environment={environment} text="host" />
        </div>
        <Actions environment={environment} />
      </div>
    </Card>
  );
});

/** A preview: there may be sixty of them, so only what tells them apart and what is wrong. */
export const PreviewCard = memo(function PreviewCard({ environment, isOpened }: Props) {
  const { rollout, release, heldSince, expiresAt, pullRequest, branch, state } = environment;
  const reason = reasonOf(environment);
  return (
    <Card environment={environment} isOpened={isOpened} className="gap-1 px-3 py-2.5">
      <div className="flex items-baseline gap-2">
        <CoverLink environment={environment} />
        {pullRequest !== null && environment.environment !== `pr-${pullRequest}` ? (
          <span className="shrink-0 text-[12.5px] text-muted">#{pullRequest}</span>
        ) : null}
        <span className="ml-auto" />
        <StateBadge environment={environment} />
        <span className="self-center">
          <OpenLink environment={environment} text="icon" />
        </span>
      </div>
      {branch ? <Branch name={branch} /> : null}
      {isOpen(rollout) ? <RolloutStep rollout={rollout} /> : null}
      {reason ? <Reason reason={reason} lines="left out" /> : null}
      {heldSince ? <Hold commit={heldSince} /> : null}
      <p className="mt-auto flex flex-wrap gap-x-2.5 text-[12.5px] text-muted">
        {release ? (
          <span
            data-testid="release"
            className="flex items-center gap-1 whitespace-nowrap"
            title={`release ${release.number}`}
          >
            <Package className="size-3.5" aria-hidden />
            <span>
              <span className="sr-only">release </span>
              {release.number} · <Commit commit={release.commit} />
            </span>
          </span>
        ) : null}
        {expiresAt && state !== 'removing' ? <Expiry until={expiresAt} /> : null}
      </p>
    </Card>
  );
});

function Card({ environment, isOpened, className, children }: Props & { className: string; children: ReactNode }) {
  const { state, rollout } = environment;
  const ground =
    state === 'failing'
      ? 'border-failing/35 bg-failing-soft'
      : state === 'rolling'
        ? 'border-rolling/30 bg-rolling-soft'
        : 'border-line bg-surface hover:border-line-strong';
  return (
    <article
      data-testid="environment"
      data-environment={`${environment.app}/${environment.environment}`}
      data-state={state}
      aria-label={`${environment.app}/${environment.environment}`}
      className={`relative flex h-full min-w-0 flex-col rounded-xl border ${ground} ${isOpened ? 'ring-2 ring-accent' : ''} ${className}`}
    >
      {rollout?.state === 'running' ? <span className="progress" aria-hidden /> : null}
      {children}
    </article>
  );
}

function CoverLink({ environment }: { environment: ApiEnvironment }) {
  return (
    <h3 className="min-w-0 truncate font-semibold tracking-tight">
      <a
        href={routeTo(environment)}
        className="cover"
        title={`Details of ${environment.app}/${environment.environment}`}
      >
        {environment.environment}
      </a>
    </h3>
  );
}

function Branch({ name }: { name: string }) {
  return (
    <span data-testid="branch" className="flex min-w-0 items-center gap-1 text-[12.5px] text-muted" title={name}>
      <GitBranch className="size-3.5 shrink-0" aria-hidden />
      <span className="truncate">{name}</span>
    </span>
  );
}
