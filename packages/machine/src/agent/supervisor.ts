import { existsSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SlipwayError } from '@slipway/app';
import {
  planSchema,
  type EnvironmentStatus,
  type ExecRequest,
  type JobResult,
  type JobRun,
  type LogLine,
  type LogRequest,
  type Observation,
  type Plan,
} from '@slipway/engine';
import { everyMark, killAll } from '@slipway/queue/processes';
import { Environment } from './environment.ts';
import { execBeside, instanceFor } from './exec.ts';
import { readJson } from './files.ts';
import type { Host } from './host.ts';
import { Jobs } from './jobs.ts';
import { markVariable } from './mark.ts';
import type { EnvironmentRecord } from './record.ts';
import { SleepTimer } from './sleep.ts';

/**
 * Everything the agent keeps running. It holds the environments by name and the jobs by id, and tells observers what changes; what
 * happens inside one environment is `Environment`'s.
 *
 * At its start it reads every plan from the folder, adopts the processes that still run, and ends those that carry a mark
 * nobody claims: a process that was started in the last instant of an agent's life.
 */
export class Supervisor {
  readonly #host: Host;
  readonly #environments = new Map<string, Environment>();
  readonly #removals = new Map<string, Promise<void>>();
  readonly #observers = new Set<(observation: Observation) => void>();
  readonly #sleep: SleepTimer;
  readonly #jobs: Jobs;
  #stopped = false;

  constructor(host: Host) {
    this.#host = host;
    this.#sleep = new SleepTimer(host.clock, (name) => this.#environments.get(name)?.sleepIfIdle());
    this.#jobs = new Jobs(host, (name, line) => this.#environments.get(name)?.write(line));
  }

  /** Goes on from the folder. Resolves when every adopted instance has been looked at. */
  async start(): Promise<void> {
    const root = join(this.#host.folder, 'environments');
    const names = listFolders(root).flatMap((app) => listFolders(join(root, app)).map((place) => `${app}/${place}`));
    const removing: Environment[] = [];
    const found: (() => Promise<void>)[] = [];
    const claimed = new Set<string>();
    for (const name of names) {
      const environment = this.#create(name);
      const plan = planSchema.safeParse(readJson<unknown>(join(environment.folder, 'plan.json'), null));
      const record = readJson<Partial<EnvironmentRecord>>(join(environment.folder, 'state.json'), {});
      if (!plan.success) {
        this.#host.log(`The plan of ${name} can't be read; it waits for the control plane to send it again.`);
        continue;
      }
      for (const instance of record.instances ?? []) claimed.add(instance.id);
      this.#environments.set(name, environment);
      if (record.removing === true) removing.push(environment);
      found.push(() => environment.restore(plan.data, record));
    }
    await this.#endUnclaimed(claimed);
    await Promise.all(found.map((restore) => restore()));
    await this.#jobs.start();
    for (const environment of removing) void this.remove(environment.name);
  }

  async #endUnclaimed(claimed: ReadonlySet<string>): Promise<void> {
    for (const [mark, processes] of await everyMark(markVariable)) {
      // Another agent's instances are none of ours: only a folder of our own proves that a mark is.
      const own = existsSync(join(this.#host.folder, 'instances', mark)) && !mark.includes('/');
      if (own && !claimed.has(mark)) killAll(processes);
    }
    for (const id of listFolders(join(this.#host.folder, 'instances'))) {
      if (!claimed.has(id)) void rm(join(this.#host.folder, 'instances', id), { recursive: true, force: true });
    }
  }

  #create(name: string): Environment {
    return new Environment(name, this.#host, this.#sleep, {
      status: (status) => this.#tell({ kind: 'status', status }),
    });
  }

  #tell(observation: Observation): void {
    for (const observer of this.#observers) observer(observation);
  }

  /** @throws {SlipwayError} as `Engine.converge`. */
  async converge(plan: Plan): Promise<EnvironmentStatus> {
    if (this.#stopped) throw new SlipwayError('transient', 'The agent is shutting down.');
    await this.#removals.get(plan.environment);
    const known = this.#environments.get(plan.environment);
    const environment = known ?? this.#create(plan.environment);
    // Known before it has accepted, so that a second plan at the same time meets the same object.
    this.#environments.set(plan.environment, environment);
    try {
      return await environment.accept(plan);
    } catch (error) {
      if (environment.status().generation === 0 && this.#environments.get(plan.environment) === environment)
        this.#environments.delete(plan.environment);
      throw error;
    }
  }

  /** Calls `observer` with every environment, then `synced`, then every change. The answer ends it. */
  observe(observer: (observation: Observation) => void): () => void {
    for (const environment of this.#environments.values()) {
      const status = environment.status();
      if (status.generation > 0) observer({ kind: 'status', status });
    }
    observer({ kind: 'synced' });
    this.#observers.add(observer);
    return () => this.#observers.delete(observer);
  }

  /** Resolves when nothing of the environment is left. */
  async remove(name: string): Promise<void> {
    const removal = this.#removals.get(name) ?? this.#remove(name);
    this.#removals.set(name, removal);
    try {
      await removal;
    } finally {
      this.#removals.delete(name);
    }
  }

  async #remove(name: string): Promise<void> {
    const environment = this.#environments.get(name);
    if (environment === undefined) return;
    await this.#jobs.endAll(name);
    await environment.remove();
    this.#environments.delete(name);
    this.#tell({ kind: 'removed', environment: name });
  }

  /** @throws {SlipwayError} `not-found` for an unknown environment. */
  logs(request: LogRequest, signal: AbortSignal): AsyncGenerator<LogLine> {
    const environment = this.#environments.get(request.environment);
    if (environment === undefined)
      throw new SlipwayError('not-found', `There is no environment ${request.environment} on this machine.`);
    return environment.logs.read(request.source, request.lines, request.follow, signal);
  }

  async run(job: JobRun, output: (line: LogLine) => void, signal: AbortSignal): Promise<JobResult> {
    if (this.#stopped) throw new SlipwayError('transient', 'The agent is shutting down.');
    return await this.#jobs.run(job, output, signal);
  }

  async cancel(jobId: string): Promise<void> {
    await this.#jobs.cancel(jobId);
  }

  /** @throws {SlipwayError} when there is nothing to run it beside. */
  exec(request: ExecRequest) {
    return execBeside(instanceFor(this.#environments.get(request.environment), request), request.command, this.#host);
  }

  /** A request came for a sleeping environment; see `RouterEvents.wake`. */
  async wake(name: string): Promise<void> {
    await this.#environments.get(name)?.wake();
  }

  /** Stops watching. Everything goes on running for the next agent. */
  async leave(): Promise<void> {
    this.#stopped = true;
    this.#sleep.stop();
    this.#jobs.leave();
    await Promise.all([...this.#environments.values()].map((environment) => environment.leave()));
  }

  /** Ends every process, gently. Plans and logs stay; the next start runs them again. */
  async shutDown(): Promise<void> {
    this.#stopped = true;
    this.#sleep.stop();
    await Promise.all([
      this.#jobs.endAll(null),
      ...[...this.#environments.values()].map((environment) => environment.shutDown()),
    ]);
  }
}

function listFolders(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
}
