import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import type { Failure, PlannedService } from '@slipway/engine';
import type { Probe } from './health.ts';
import { blockedAt, type AppUser } from './user.ts';

/** A failure without its last lines. */
export type Reason = Pick<Failure, 'code' | 'message'> & Partial<Pick<Failure, 'exitCode' | 'signal'>>;

/** Why nothing can be started from an artifact; null when it can. */
export function artifactProblem(release: number, artifact: string, user: AppUser | null): Reason | null {
  if (!existsSync(artifact)) {
    const message = `The artifact of release ${release} (${artifact}) is not there any more. Deploy the release again.`;
    return { code: 'artifact-missing', message };
  }
  const blocked = user === null ? null : blockedAt(artifact, user);
  if (user === null || blocked === null) return null;
  const message = `Apps run as the unprivileged user ${user.uid}, which can't read ${blocked}. Keep Slipway's home where every user can pass, such as /var/lib/slipway.`;
  return { code: 'artifact-missing', message };
}

export function diskFull(folder: string): Reason {
  const message = `The disk of ${folder} is full, so it can't be started. Make room; it is tried again by itself.`;
  return { code: 'disk-full', message };
}

export function tooMuchMemory(used: number, limit: number): Reason {
  const mib = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MiB`;
  const message = `It used ${mib(used)} of memory; its limit is ${mib(limit)}. Raise size.memory in slipway.yaml, or let it use less.`;
  return { code: 'out-of-memory', message, signal: 'SIGKILL' };
}

export function portTaken(port: number): Reason {
  const message = `Another process listens on port ${port} that was chosen for it. It is started again with another port.`;
  return { code: 'port-closed', message };
}

/** `others`: ports that it listens on instead. */
export function tooLate(service: PlannedService, port: number, last: Probe, others: readonly number[]): Reason {
  const waited = `within ${service.startSeconds} s`;
  if (last.answer === 'unhealthy') {
    const message = `It listens, but ${service.health ?? '/'} ${last.detail} instead of 2xx or 3xx ${waited}. Look at its last lines, or raise start in slipway.yaml.`;
    return { code: 'unhealthy', message };
  }
  const instead = others.length > 0 ? ` It listens on ${others.join(', ')} instead.` : '';
  const message = `It did not open the port in PORT (${port}) on 127.0.0.1 ${waited}.${instead} Let it listen on process.env.PORT (the variable PORT), on all addresses.`;
  return { code: 'port-closed', message };
}

export function stoppedAnswering(service: PlannedService, last: Probe): Reason {
  const how = last.answer === 'unhealthy' ? `${service.health ?? '/'} ${last.detail}` : 'its port is closed';
  return { code: 'unhealthy', message: `It was ready, but stopped answering: ${how}. It is started again.` };
}

/** Why a process that should keep running ended. */
export function ended(
  kind: 'service' | 'worker',
  run: string,
  exitCode: number | null,
  signalName: NodeJS.Signals | null,
  lastLines: readonly string[],
): Reason {
  const facts = { exitCode, signal: signalName ?? signalIn(exitCode) };
  if (exitCode === 126 || exitCode === 127) {
    const problem = exitCode === 127 ? 'was not found' : "can't be executed";
    const message = `The shell says that a command in "${run}" ${problem} (exit code ${exitCode}). Check run in slipway.yaml, and that build made it.`;
    return { code: 'command-missing', message, ...facts };
  }
  if (lastLines.some((line) => line.includes('EADDRINUSE'))) {
    const message = `It ended because its port was taken (EADDRINUSE). It is started again with another port; if this repeats, it does not listen on the port in PORT.`;
    return { code: 'crashed', message, ...facts };
  }
  const unseen = exitCode === null ? 'while no agent watched it' : `with exit code ${exitCode}`;
  const how = facts.signal === null ? unseen : `by ${facts.signal}`;
  const message = `It ended by itself ${how}. A ${kind} must keep running; look at its last lines.`;
  return { code: 'crashed', message, ...facts };
}

/** A shell tells the end of its command by a signal as 128 and the signal's number. */
function signalIn(exitCode: number | null): string | null {
  if (exitCode === null || exitCode <= 128) return null;
  return Object.entries(constants.signals).find(([, number]) => number === exitCode - 128)?.[0] ?? null;
}
