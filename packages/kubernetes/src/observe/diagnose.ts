import type { Failure, InstanceState } from '@slipway/engine';
import type { ContainerView, Ended, PodView } from './pod-view.ts';
import { explainUnschedulable } from './unschedulable.ts';
import type { NodeRoom } from './unschedulable.ts';

/** What is known beyond the pod itself. Asked for only when the pod says that something is wrong. */
export interface Evidence {
  /** Newest last. */
  events: readonly { reason: string; message: string }[];
  /** What the container wrote before it ended, oldest first. */
  lastLines: readonly string[];
  nodes: readonly NodeRoom[];
}

export interface Diagnosis {
  state: InstanceState;
  failure: Failure | null;
}

export const NO_EVIDENCE: Evidence = { events: [], lastLines: [], nodes: [] };

/** A node may be on its way, and pods that end make room. */
export const ROOM_PATIENCE_MILLISECONDS = 20_000;
/** What is not tried again: asking once more gives the same. */
const HOPELESS_PULL =
  /not found|no such host|unauthorized|denied|forbidden|authentication|invalid reference|manifest unknown/i;
const LAST_LINES = 20;

/**
 * What a pod is, and why it is not what it should be. Pure. The first row that fits:
 *
 * | the pod says | state | failure |
 * | --- | --- | --- |
 * | its end was asked for | draining | |
 * | it was evicted, its node went away | failing | lost, out-of-memory or disk-full, by the reason |
 * | Ready | ready | |
 * | a container before it failed or can't begin | failing | as below |
 * | no node fits, for less than 20 s or while nodes are being added | pending | |
 * | no node fits | failing | unschedulable: the scheduler's words, and the node with most room |
 * | `ErrImagePull` with a reason that stays, `ImagePullBackOff`, `InvalidImageName`, `ErrImageNeverPull` | failing | image-missing: which image, and whether the credentials are wrong |
 * | `CreateContainerConfigError` | failing | config-missing: which ConfigMap, Secret or key |
 * | `CreateContainerError`, `RunContainerError` | failing | command-missing |
 * | `CrashLoopBackOff`, or ended | failing | by how it ended, see {@link causeOfEnd} |
 * | it runs, and did before | starting | how it ended the time before |
 * | it runs | starting | |
 * | anything else | pending | |
 *
 * A pod that was killed because its startup probe was never met has a failure that says what the probe saw: nothing listens, or what it answered.
 *
 * @param now Milliseconds since 1970.
 */
export function diagnose(pod: PodView, evidence: Evidence, now: number): Diagnosis {
  if (pod.life === 'leaving') return { state: 'draining', failure: null };
  if (pod.phase === 'Failed' && pod.reason !== null) return failing(lostPod(pod));
  if (pod.ready.met === 'yes') return { state: 'ready', failure: null };
  if (pod.scheduled.met === 'no' && pod.scheduled.reason === 'Unschedulable') return waitsForRoom(pod, evidence, now);
  const container = pod.preparing ?? pod.container;
  if (container === null) return { state: 'pending', failure: null };
  const { state, last } = container;
  if (state.kind === 'ended') return failing(causeOfEnd(container, state, evidence));
  if (state.kind === 'waiting') return waiting(container, state, evidence);
  if (pod.preparing !== null) return { state: 'pending', failure: null };
  return { state: 'starting', failure: last === null ? null : causeOfEnd(container, last, evidence) };
}

/** Whether a pod looks as if something was wrong, so that it is worth to ask for evidence; a text that is the same for the same trouble. */
export function trouble(pod: PodView): string | null {
  if (pod.life === 'leaving' || pod.ready.met === 'yes') return null;
  if (pod.scheduled.met === 'no' && pod.scheduled.reason === 'Unschedulable')
    return `unschedulable ${pod.scheduled.message}`;
  const container = pod.preparing ?? pod.container;
  if (container === null) return null;
  const end = container.state.kind === 'ended' ? container.state : container.last;
  if (end === null) return null;
  return `${container.name} ended ${end.at} ${container.restarts}`;
}

function failing(failure: Failure): Diagnosis {
  return { state: 'failing', failure };
}

function failureOf(code: Failure['code'], message: string, more: Partial<Failure> = {}): Failure {
  return { code, message, exitCode: null, signal: null, lastLines: [], ...more };
}

function lostPod({ reason, message, node }: PodView): Failure {
  const told = message === null ? '' : `: ${message.trim().replace(/\.$/, '')}`;
  const where = node === null ? 'its node' : `node ${node}`;
  if (/memory/i.test(message ?? ''))
    return failureOf('out-of-memory', `${where} ran out of memory and took it away (${reason}${told}).`);
  if (/ephemeral|disk|storage/i.test(message ?? ''))
    return failureOf('disk-full', `${where} ran out of disk and took it away (${reason}${told}).`);
  return failureOf('lost', `It was ended with ${where} (${reason}${told}). Another one is started.`);
}

function waitsForRoom(pod: PodView, evidence: Evidence, now: number): Diagnosis {
  const since = pod.scheduled.since ?? pod.createdAt;
  const nodesCome = evidence.events.some(({ reason }) => reason === 'TriggeredScaleUp');
  if (nodesCome || now - since < ROOM_PATIENCE_MILLISECONDS) return { state: 'pending', failure: null };
  return failing(failureOf('unschedulable', explainUnschedulable(pod.scheduled.message ?? '', evidence.nodes)));
}

function waiting(container: ContainerView, state: { reason: string; message: string }, evidence: Evidence): Diagnosis {
  switch (state.reason) {
    case 'ErrImagePull':
      return HOPELESS_PULL.test(state.message)
        ? failing(imageMissing(container, state.message))
        : pending(container, evidence);
    case 'ImagePullBackOff':
    case 'InvalidImageName':
    case 'ErrImageNeverPull':
    case 'ImageInspectError':
      return failing(imageMissing(container, state.message));
    case 'CreateContainerConfigError':
      return failing(
        failureOf(
          'config-missing',
          `A value that it needs is not there: ${state.message}. Set it under config or secrets.`,
        ),
      );
    case 'CreateContainerError':
    case 'RunContainerError':
      return failing(failureOf('command-missing', `It can't be started: ${state.message}. Check run in slipway.yaml.`));
    case 'CrashLoopBackOff':
      return container.last === null
        ? pending(container, evidence)
        : failing(causeOfEnd(container, container.last, evidence));
    default:
      return pending(container, evidence);
  }
}

function pending(container: ContainerView, evidence: Evidence): Diagnosis {
  return {
    state: 'pending',
    failure: container.last === null ? null : causeOfEnd(container, container.last, evidence),
  };
}

function imageMissing({ image }: ContainerView, told: string): Failure {
  const denied = /unauthorized|denied|forbidden|authentication|401|403/i.test(told);
  const what = denied
    ? `The registry does not let the nodes pull ${image}. Check the pull secret (--pull-secret), or that the image exists.`
    : `The image ${image} can't be pulled. Check that it was pushed.`;
  return failureOf('image-missing', told === '' ? what : `${what} The node says: ${told}`);
}

/**
 * | ended with | code |
 * | --- | --- |
 * | `OOMKilled` | out-of-memory |
 * | a startup probe that was never met; refused connections | port-closed |
 * | a startup probe that was never met; another answer | unhealthy |
 * | a liveness probe that was not met any more | unhealthy |
 * | exit code 126 or 127, `StartError`, `ContainerCannotRun` | command-missing |
 * | anything else | crashed |
 */
export function causeOfEnd(container: ContainerView, end: Ended, evidence: Evidence): Failure {
  const signal = signalOf(end);
  const facts = { exitCode: end.exitCode, signal, lastLines: evidence.lastLines.slice(-LAST_LINES) };
  if (end.reason === 'OOMKilled')
    return failureOf(
      'out-of-memory',
      'It used more memory than its limit and was ended. Raise size.memory in slipway.yaml, or let it use less.',
      facts,
    );
  const probe = endedByProbe(container, evidence);
  if (probe !== null) return { ...probe, ...facts };
  if (end.reason === 'StartError' || end.reason === 'ContainerCannotRun')
    return failureOf('command-missing', `It can't be started: ${end.message}. Check run in slipway.yaml.`, facts);
  if (end.exitCode === 126 || end.exitCode === 127) {
    const problem = end.exitCode === 127 ? 'was not found' : "can't be executed";
    return failureOf(
      'command-missing',
      `The shell says that a command ${problem} (exit code ${end.exitCode}). Check run in slipway.yaml, and what is in the image.`,
      facts,
    );
  }
  const how = signal === null ? `with exit code ${end.exitCode}` : `by ${signal}`;
  return failureOf('crashed', `It ended by itself ${how}; look at its last lines.`, facts);
}

/** The kubelet tells in events why it ends a container. https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/ */
function endedByProbe({ name }: ContainerView, { events }: Evidence): Failure | null {
  const killing = events.findLast(
    ({ reason, message }) => reason === 'Killing' && message.startsWith(`Container ${name} failed`),
  );
  if (killing === undefined) return null;
  const kind = killing.message.includes('startup probe') ? 'Startup' : 'Liveness';
  const seen = events.findLast(
    ({ reason, message }) => reason === 'Unhealthy' && message.startsWith(`${kind} probe failed`),
  );
  const told = seen?.message.replace(/^\w+ probe failed: /, '').trim() ?? 'no answer';
  if (kind === 'Liveness')
    return failureOf('unhealthy', `It was ready, but stopped answering (${told}). It is started again.`);
  if (/refused|no route|dial tcp/i.test(told) && !/statuscode/i.test(told))
    return failureOf(
      'port-closed',
      `It did not open its port within start (${told}). Let it listen on process.env.PORT (the variable PORT), on all addresses.`,
    );
  return failureOf(
    'unhealthy',
    `It listens, but its health did not answer 2xx or 3xx within start (${told}). Look at its last lines, or raise start in slipway.yaml.`,
  );
}

const SIGNALS: Readonly<Record<number, string>> = { 6: 'SIGABRT', 9: 'SIGKILL', 11: 'SIGSEGV', 15: 'SIGTERM' };

function signalOf({ exitCode, signal }: Ended): string | null {
  const number = signal ?? (exitCode > 128 ? exitCode - 128 : 0);
  return SIGNALS[number] ?? null;
}
