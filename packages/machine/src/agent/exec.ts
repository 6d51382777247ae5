import { spawn, type ChildProcess } from 'node:child_process';
import { SlipwayError } from '@slipway/app';
import type { ExecRequest } from '@slipway/engine';
import { signal } from '@slipway/queue/processes';
import type { Environment } from './environment.ts';
import type { Host } from './host.ts';
import type { Instance } from './instance.ts';
import { markVariable } from './mark.ts';

/** The instance that a request means: the first ready one of its source, else any that runs. @throws {SlipwayError} `not-found`, `conflict`. */
export function instanceFor(environment: Environment | undefined, request: ExecRequest): Instance {
  if (environment === undefined)
    throw new SlipwayError('not-found', `There is no environment ${request.environment} on this machine.`);
  const status = environment.status();
  const { source } = request;
  const candidates = environment.instances.filter((instance) =>
    source === null ? instance.spec.kind === 'service' : instance.spec.process.name === source,
  );
  const newest = [...candidates].sort((a, b) => b.spec.release - a.spec.release);
  const found =
    newest.find((instance) => instance.state === 'ready') ?? newest.find((instance) => instance.record.pid !== null);
  if (found !== undefined) return found;
  if (status.activity !== 'awake') {
    throw new SlipwayError(
      'conflict',
      `${request.environment} is asleep, so there is nothing to run a command beside.`,
      { hint: 'Open its URL once; that wakes it.' },
    );
  }
  const names = [...new Set(environment.instances.map((instance) => instance.spec.process.name))].join(', ');
  throw new SlipwayError(
    'not-found',
    `No instance of ${source ?? 'a service'} runs in ${request.environment}.`,
    names === '' ? {} : { hint: `It has: ${names}.` },
  );
}

/** Starts a command beside an instance: its variables, folder and user. */
export function execBeside(instance: Instance, command: readonly string[], host: Host): ChildProcess {
  const [program = '', ...args] = command;
  if (program === '')
    throw new SlipwayError('mistake', 'exec needs a command: slipway exec APP/ENV -- COMMAND [ARG...]');
  // Not the instance's own mark: the command lives as long as whoever asked for it, not as long as the instance.
  const environment = { ...instance.variables(), [markVariable]: `exec:${instance.id}` };
  return spawn(program, args, {
    cwd: instance.spec.artifact,
    env: environment,
    detached: true,
    stdio: 'pipe',
    ...host.user,
  });
}

/** Ends a command whose asker went away, with everything it started. */
export function endExec(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const group = child.pid;
  signal({ group }, 'SIGTERM');
  const timer = setTimeout(() => signal({ group }, 'SIGKILL'), 2000);
  child.once('exit', () => clearTimeout(timer));
}
