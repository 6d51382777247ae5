import { useMutation, useQuery } from '@tanstack/react-query';
import { type ReactNode, useEffect, useRef, useState } from 'react';
import { api, type ApiEnvironment, type Role } from '../api/client.ts';
import { Commit, Release } from '../environment/facts.tsx';
import { ago } from '../live/clock.ts';
import { useEnvironment, useSource } from '../live/live.tsx';
import { Problem } from '../shell/problem.tsx';
import { type Action, actionNames } from './possible.ts';

interface Props {
  action: Action;
  environmentKey: string;
  role: Role;
  onClose: () => void;
}

/** Asks once more, with what will happen; stays open and says why when the control plane refuses. */
export function Confirm({ action, environmentKey, role, onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const environment = useEnvironment(environmentKey);
  const Question = questions[action];
  const close = () => dialog.current?.close();
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby="confirm-title"
      data-testid="confirm"
      className="fresh m-auto w-[min(520px,calc(100vw-24px))] rounded-2xl border border-line bg-raised p-0 text-ink shadow-2xl"
      onClose={onClose}
    >
      <div className="p-5 sm:p-6">
        <h2 id="confirm-title" className="text-base font-semibold tracking-tight wrap-anywhere">
          {actionNames[action]} {environmentKey}
        </h2>
        {environment ? (
          <Question environment={environment} role={role} close={close} />
        ) : (
          <Nothing close={close}>This environment has been removed meanwhile.</Nothing>
        )}
      </div>
    </dialog>
  );
}

type QuestionProps = { environment: ApiEnvironment; role: Role; close: () => void };

const untilThen =
  'The release that serves now keeps serving until the new instances are ready; if they never are, nothing changes.';

function replaces({ release }: ApiEnvironment): ReactNode {
  return release ? (
    <>
      {' '}
      and replaces <Release release={release} />
    </>
  ) : (
    ' and is the first one here'
  );
}

function ApproveQuestion({ environment, close }: QuestionProps) {
  const { rollout } = environment;
  if (rollout?.state !== 'waiting') {
    return <Nothing close={close}>This rollout does not wait any more; there is nothing left to approve.</Nothing>;
  }
  return (
    <Form yes="Approve" close={close} act={() => api.approve(rollout.id)}>
      <p>
        The {rollout.kind} of <Commit commit={rollout.commit} /> that <b className="font-medium">{rollout.actor}</b>{' '}
        asked for starts now{replaces(environment)}.
      </p>
      <p className="text-muted">{untilThen}</p>
    </Form>
  );
}

function PromoteQuestion({ environment, role, close }: QuestionProps) {
  const source = useSource(environment);
  if (!source?.release) return <Nothing close={close}>There is no release to promote any more.</Nothing>;
  return (
    <Form yes="Promote" close={close} act={() => api.promote(environment.app, environment.environment)}>
      <p>
        What serves in {source.environment} (<Release release={source.release} />) becomes a new release here, with the
        config and secrets of {environment.environment}
        {replaces(environment)}.
      </p>
      <p>
        {role === 'admin'
          ? 'As you are an admin, this counts as its approval.'
          : `If ${environment.environment} asks for one, it waits for the approval of an admin first.`}
      </p>
      <p className="text-muted">{untilThen}</p>
    </Form>
  );
}

function RollBackQuestion({ environment, close }: QuestionProps) {
  const { app, environment: name, release } = environment;
  const releases = useQuery({
    queryKey: ['releases', app, name, release?.number],
    queryFn: () => api.releases(app, name, 20),
    staleTime: 0,
  });
  const earlier = (releases.data ?? [])
    .filter(({ number, servedAt }) => release !== null && number < release.number && servedAt !== null)
    .slice(0, 8);
  const [chosen, setChosen] = useState<number | null>(null);
  const target = earlier.find(({ number }) => number === chosen) ?? earlier[0];
  const now = Date.now();

  if (releases.error) {
    return (
      <Nothing close={close}>
        <Problem error={releases.error} />
      </Nothing>
    );
  }
  if (releases.isPending) return <p className="mt-3 min-h-40 text-[13.5px] text-muted">Reading the releases…</p>;
  if (!target) return <Nothing close={close}>There is no earlier release to go back to.</Nothing>;
  return (
    <Form
      yes={`Roll back to release ${target.number}`}
      close={close}
      act={() => api.rollback(app, name, target.number)}
    >
      <fieldset>
        <legend className="mb-2">
          Serves now: <Release release={release} />. Go back to
        </legend>
        <div className="max-h-64 overflow-y-auto rounded-lg border border-line">
          {earlier.map((each) => (
            <label
              key={each.number}
              className="flex cursor-pointer items-center gap-2.5 border-b border-line px-3 py-2 last:border-b-0 has-checked:bg-accent-soft"
            >
              <input
                type="radio"
                name="release"
                className="size-4 shrink-0 accent-accent"
                checked={each.number === target.number}
                onChange={() => setChosen(each.number)}
              />
              <span className="min-w-6 shrink-0 text-right font-medium">{each.number}</span>
              <Commit commit={each.commit} />
              <span className="min-w-0 flex-1 truncate">{each.subject}</span>
              <span className="shrink-0 text-[12px] text-muted">{ago(each.createdAt, now)}</span>
            </label>
          ))}
        </div>
      </fieldset>
      <p>
        Artifact, config and secrets of release {target.number} come back together. Automatic deploys to {name} then
        wait for a commit newer than <Commit commit={release?.commit ?? ''} />.
      </p>
      <p className="text-muted">{untilThen}</p>
    </Form>
  );
}

const questions = { approve: ApproveQuestion, promote: PromoteQuestion, rollback: RollBackQuestion };

/** There is nothing to agree to. */
function Nothing({ close, children }: { close: () => void; children: ReactNode }) {
  return (
    <div className="mt-3 space-y-4 text-[13.5px]">
      <div>{children}</div>
      <div className="flex justify-end">
        <button type="button" className="button !min-h-8" onClick={close}>
          Close
        </button>
      </div>
    </div>
  );
}

/** Consequences, the refusal if there was one, and the two buttons. */
function Form({
  yes,
  act,
  close,
  children,
}: {
  yes: string;
  act: () => Promise<unknown>;
  close: () => void;
  children: ReactNode;
}) {
  const doing = useMutation({ mutationFn: act, onSuccess: close });
  return (
    <form
      className="mt-3 space-y-3 text-[13.5px]"
      onSubmit={(submission) => {
        submission.preventDefault();
        if (!doing.isPending) doing.mutate();
      }}
    >
      {children}
      {doing.error ? <Problem error={doing.error} /> : null}
      <div className="flex flex-wrap justify-end gap-2 pt-2">
        <button type="button" className="button !min-h-8" onClick={close}>
          Cancel
        </button>
        <button
          type="submit"
          data-testid="confirm-yes"
          className="button button-primary !min-h-8"
          aria-disabled={doing.isPending}
        >
          {doing.isPending ? 'Asking…' : yes}
        </button>
      </div>
    </form>
  );
}
