import type { Desired } from '../apply/applier.ts';
import { RELEASE_LABEL } from '../render/owner.ts';

export interface Gate {
  /** What is not written now. */
  waiting: ReadonlySet<Desired>;
  /** Jobs that failed: their release is not started. */
  failed: readonly Desired[];
}

/**
 * Holds the Deployments of a release until the jobs that run before it are done. A job that ran and is gone is not made again: what was started after it
 * shows that it ran.
 *
 * @param started Whether anything of a release was started.
 * @param state Of the Job of a name; null: it is not there.
 */
export function jobGate(
  wanted: readonly Desired[],
  started: (release: string) => boolean,
  state: (name: string) => 'runs' | 'done' | 'failed' | null,
): Gate {
  const releaseOf = ({ object }: Desired): string => object.metadata.labels[RELEASE_LABEL] ?? '';
  const jobs = wanted.filter(({ kind }) => kind === 'Job');
  const ran = jobs.filter((job) => started(releaseOf(job)));
  const open = jobs
    .filter((job) => !ran.includes(job))
    .map((job) => ({ job, state: state(job.object.metadata.name) }))
    .filter((one) => one.state !== 'done');
  const blocked = new Set(open.map(({ job }) => releaseOf(job)));
  const held = wanted.filter((one) => one.kind === 'Deployment' && blocked.has(releaseOf(one)));
  return {
    waiting: new Set([...ran, ...held]),
    failed: open.filter((one) => one.state === 'failed').map(({ job }) => job),
  };
}
