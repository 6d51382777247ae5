import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Failure, InstanceState, InstanceStatus, PlannedService } from '@slipway/engine';
import { endTree, everyProcess, killLeftovers, readStat, signal, treeOf } from '@slipway/queue/processes';
import { adoptProcess, type Adopted } from './adoption.ts';
import { boundedBy } from './clock.ts';
import { watchHealth, type HealthWatch } from './health.ts';
import type { Host } from './host.ts';
import { isDiskFull } from './files.ts';
import type { InstanceRecord, InstanceSpec } from './instance-record.ts';
import { launch } from './launch.ts';
import { listenerOf, portsOf } from './listeners.ts';
import { instanceMark, markVariable } from './mark.ts';
import { prepareFolder, processFolder } from './process-folder.ts';
import type { Output, OutputOptions } from './output.ts';
import {
  artifactProblem,
  diskFull,
  ended,
  portTaken,
  stoppedAnswering,
  tooLate,
  tooMuchMemory,
  type Reason,
} from './reasons.ts';
import { messageOf, stackOf } from './thrown.ts';

/** What an instance needs from its environment. */
export interface InstanceEvents {
  /** The record changed in a way that status, traffic or the disk should know. */
  changed(): void;
  line(instance: Instance, stream: 'stdout' | 'stderr', text: string): void;
  flood(instance: Instance, now: boolean): void;
}

const firstBackoff = 250;
const longestBackoff = 30_000;
/** Healthy for this long, an instance starts again with the shortest back-off. */
const steadyAfter = 60_000;
/** A worker has no health; when it has lived this long, it counts as ready. */
const workerReadyAfter = 300;
/** Milliseconds that the last output of a process that has ended may take. */
const outputEndsWithin = 500;
/** Requests in flight are given at least this long when an instance goes. */
const drainAtLeast = 30_000;
/** An adopted instance that has not answered after this long counts as starting again. */
const adoptedAnswersWithin = 1000;
/** An environment without a request for this long is quiet. */
const quietAfter = 10_000;

/**
 * One wanted process and everything that happens to it.
 *
 * `#become` is the only writer of the state:
 *
 * | from | to | when |
 * | --- | --- | --- |
 * | pending  | starting | `start`: what it needs is ready |
 * | starting | ready    | its health answered, and the listener on its port is its own; a worker: it lived for 300 ms |
 * | starting | failing  | it ended; `startSeconds` passed; its port belongs to somebody else; its artifact is missing |
 * | ready    | failing  | it ended; its health was lost; it used too much memory |
 * | failing  | starting | its back-off (0.25 s doubling to 30 s) has passed, and the old process is gone |
 * | any      | draining | `retire`: it is not wanted any more |
 * | draining | gone     | no request is in flight, and nothing of its process tree runs |
 *
 * Each process of an instance is one `run`. Whatever arrives from an earlier run (an exit, a probe) is ignored.
 */
export class Instance {
  readonly record: InstanceRecord;
  readonly #host: Host;
  readonly #events: InstanceEvents;
  #run = 0;
  #output: Output | null = null;
  #health: HealthWatch | null = null;
  #running = (): boolean => false;
  #backoff = firstBackoff;
  #readyAt: number | null = null;
  #cancelTimer: (() => void) | null = null;
  #retired: Promise<void> | null = null;
  #left = false;

  constructor(record: InstanceRecord, host: Host, events: InstanceEvents) {
    this.record = record;
    this.#host = host;
    this.#events = events;
  }

  get id(): string {
    return this.record.id;
  }

  get state(): InstanceState {
    return this.record.state;
  }

  get spec(): InstanceSpec {
    return this.record.spec;
  }

  /** The folder with its HOME, TMPDIR and FIFOs. */
  get folder(): string {
    return join(this.#host.folder, 'instances', this.id);
  }

  status(): InstanceStatus {
    const { record } = this;
    return {
      id: record.id,
      release: record.spec.release,
      kind: record.spec.kind,
      name: record.spec.process.name,
      state: record.state,
      since: record.since,
      restarts: record.restarts,
      address: record.port === null ? null : `http://127.0.0.1:${record.port}`,
      pid: record.pid,
      failure: record.failure,
    };
  }

  /** Variables of its process; for `exec` beside it too. */
  variables(): Record<string, string> {
    const paths = processFolder(this.folder);
    return {
      ...this.spec.variables,
      [markVariable]: this.id,
      HOME: paths.home,
      TMPDIR: paths.tmp,
      ...(this.record.port === null ? {} : { PORT: String(this.record.port) }),
    };
  }

  /** From `pending`: the services it needs are ready. */
  start(): void {
    if (this.record.state === 'pending') void this.#launch();
  }

  /** Not wanted any more: drain, stop, delete. Resolves when nothing is left of it. `quick`: without waiting for requests in flight. */
  async retire(pace: 'drained' | 'quick' = 'drained'): Promise<void> {
    this.#retired ??= this.#retire(pace);
    await this.#retired;
  }

  /** Lets go of the process without ending it; the next agent adopts it. */
  leave(): void {
    this.#left = true;
    this.#run += 1;
    this.#cancelTimer?.();
    this.#health?.stop();
    this.#output?.close();
    this.#host.memory.forget(this.id);
  }

  /**
   * Takes over what an earlier agent started. A process that still runs keeps running; without one the instance starts anew.
   * Resolves when its health is known, so that the first status is true.
   */
  async adopt(): Promise<void> {
    const { record } = this;
    if (record.state === 'draining' || record.state === 'gone') return;
    const { pid } = record;
    const adopted = this.#adoptProcess();
    if (pid === null || adopted === null) {
      await killLeftovers(instanceMark(this.id), null);
      record.pid = record.startTime = record.port = null;
      if (pid !== null && record.state !== 'failing') record.restarts += 1;
      this.#become('pending');
      return;
    }
    const run = (this.#run += 1);
    void adopted.ended.then(() => this.#onEnd(run, null, null));
    this.#watchMemory(run, pid);
    if (record.state === 'failing') {
      this.#restartAfter(run, record.failure);
      return;
    }
    await this.#watchHealth(run, record.state === 'ready' ? 'adopted' : 'started');
  }

  // The only writer of the state.
  #become(state: InstanceState, failure: Failure | null = this.record.failure): void {
    const { record } = this;
    if (record.state !== state) record.since = this.#host.clock.now();
    record.state = state;
    record.failure = state === 'ready' ? null : failure;
    this.#readyAt = state === 'ready' ? record.since : null;
    this.#events.changed();
  }

  async #launch(): Promise<void> {
    const run = (this.#run += 1);
    const { spec, record } = this;
    record.pid = record.startTime = record.port = null;
    this.#become('starting');
    try {
      const problem = artifactProblem(spec.release, spec.artifact, this.#host.user);
      if (problem !== null) return this.#fail(run, this.#failure(problem));
      if (spec.service !== null) record.port = await this.#host.choosePort();
      const folder = await prepareFolder(this.folder, this.#host.user);
      if (this.#run !== run) return;
      const { child, output } = launch({
        folder,
        command: ['/bin/sh', '-c', spec.process.run],
        cwd: spec.artifact,
        environment: this.variables(),
        user: this.#host.user,
        output: this.#outputOptions(),
      });
      this.#output = output;
      child.once('exit', (code, signalName) => void this.#onEnd(run, code, signalName));
      child.once('error', (error) => {
        output.close();
        const message = `The command could not be started: ${error.message}.`;
        this.#fail(run, this.#failure({ code: 'command-missing', message }));
      });
      if (child.pid === undefined) return;
      record.pid = child.pid;
      record.startTime = readStat(child.pid)?.startTime ?? null;
      this.#running = () => child.exitCode === null && child.signalCode === null;
      this.#watchMemory(run, child.pid);
      this.#events.changed();
      await this.#watchHealth(run, 'started');
    } catch (error) {
      this.#fail(run, this.#cannotStart(error));
    }
  }

  #cannotStart(error: unknown): Failure {
    if (isDiskFull(error)) return this.#failure(diskFull(this.#host.folder));
    this.#host.log(`${this.id} could not be started: ${stackOf(error)}`);
    return this.#failure({ code: 'crashed', message: `It could not be started: ${messageOf(error)}.` });
  }

  #adoptProcess(): Adopted | null {
    const options = { ...this.#outputOptions(), wanted: () => !this.#left };
    const adopted = adoptProcess(this.record, this.folder, this.#host.clock, options);
    this.#output = adopted?.output ?? null;
    this.#running = adopted?.running ?? (() => false);
    return adopted;
  }

  #outputOptions(): OutputOptions {
    return {
      line: (stream, text) => this.#events.line(this, stream, text),
      flood: (now) => this.#events.flood(this, now),
    };
  }

  #watchMemory(run: number, pid: number): void {
    const limit = this.spec.process.size.memory;
    const exceeded = (used: number): void => {
      if (this.#run !== run || this.#left) return;
      signal({ group: pid }, 'SIGKILL');
      this.#fail(run, this.#failure(tooMuchMemory(used, limit)));
    };
    this.#host.memory.watch(this.id, { leader: pid, limit, exceeded });
  }

  /** Resolves for `adopted` once the first probe has answered, for `started` at once. */
  async #watchHealth(run: number, how: 'started' | 'adopted'): Promise<void> {
    const { record, spec } = this;
    const { service } = spec;
    if (service === null || record.port === null) {
      if (record.state === 'ready') return;
      this.#cancelTimer = this.#host.clock.after(workerReadyAfter, () => this.#run === run && this.#become('ready'));
      return;
    }
    await new Promise<void>((resolve) => {
      if (how === 'started') resolve();
      this.#health = this.#probe(run, service, record.port ?? 0, resolve);
      // An app that does not answer at once must not hold up the agent.
      if (how === 'adopted')
        this.#cancelTimer = this.#host.clock.after(adoptedAnswersWithin, () => {
          if (this.#run === run && this.record.state === 'ready') this.#become('starting');
          resolve();
        });
    });
    if (how === 'adopted' && this.record.state === 'ready') this.#cancelTimer?.();
  }

  /** `answered` is called with the first answer, whatever it is. */
  #probe(run: number, service: PlannedService, port: number, answered: () => void): HealthWatch {
    const { clock, routes } = this.#host;
    const tree = async (): Promise<number[]> =>
      this.record.pid === null ? [] : treeOf(this.record.pid, await everyProcess());
    const fail = (reason: Reason): void => {
      answered();
      this.#fail(run, this.#failure(reason));
    };
    return watchHealth({
      port,
      path: service.health,
      startWithin: service.startSeconds * 1000,
      quiet: () => clock.now() - (routes.lastRequestAt(this.spec.environment) ?? 0) > quietAfter,
      listener: async () => listenerOf(port, await tree()),
      onReady: () => {
        answered();
        if (this.#run === run) this.#become('ready');
      },
      onForeign: () => fail(portTaken(port)),
      onLate: (last) => void tree().then((pids) => fail(tooLate(service, port, last, portsOf(pids)))),
      onLost: (last) => fail(stoppedAnswering(service, last)),
    });
  }

  async #onEnd(run: number, code: number | null, signalName: NodeJS.Signals | null): Promise<void> {
    if (this.#run !== run || this.#left) return;
    // Orphans would hold the port and the output of the next run.
    await killLeftovers(instanceMark(this.id), this.record);
    await boundedBy(this.#host.clock, outputEndsWithin, this.#output?.ended ?? Promise.resolve());
    if (this.#run !== run) return;
    this.#fail(
      run,
      this.#failure(ended(this.spec.kind, this.spec.process.run, code, signalName, this.#output?.tail(20) ?? [])),
    );
  }

  #failure(reason: Reason): Failure {
    return { exitCode: null, signal: null, lastLines: this.#output?.tail(20) ?? [], ...reason };
  }

  #fail(run: number, failure: Failure): void {
    if (this.#run !== run || this.#left) return;
    if (this.#readyAt !== null && this.#host.clock.now() - this.#readyAt >= steadyAfter) this.#backoff = firstBackoff;
    this.#restartAfter(run, failure);
  }

  /** Ends what is left of this run, waits for the back-off, and launches the next one. */
  #restartAfter(failed: number, failure: Failure | null): void {
    if (this.#run !== failed) return;
    const run = (this.#run += 1);
    this.#health?.stop();
    this.#cancelTimer?.();
    this.#become('failing', failure);
    const wait = this.#backoff;
    this.#backoff = Math.min(this.#backoff * 2, longestBackoff);
    const backoff = new Promise<void>((resolve) => (this.#cancelTimer = this.#host.clock.after(wait, resolve)));
    void Promise.all([this.#end(), backoff]).then(async () => {
      if (this.#run !== run || this.#left) return;
      this.record.restarts += 1;
      await this.#launch();
    });
  }

  /** Ends the process tree, gently first. */
  async #end(): Promise<void> {
    const { record } = this;
    this.#host.memory.forget(this.id);
    if (record.pid === null) return;
    await endTree(instanceMark(this.id), record, this.#running, this.spec.process.stopSeconds * 1000);
    await boundedBy(this.#host.clock, outputEndsWithin, this.#output?.ended ?? Promise.resolve());
    this.#output?.close();
    record.pid = record.startTime = null;
  }

  async #retire(pace: 'drained' | 'quick'): Promise<void> {
    const { record, spec } = this;
    const wasReady = record.state === 'ready';
    const foundDraining = record.state === 'draining' && record.pid !== null && this.#run === 0;
    this.#run += 1;
    this.#health?.stop();
    this.#cancelTimer?.();
    const endedUnseen = foundDraining && this.#adoptProcess() === null;
    if (endedUnseen) record.pid = record.startTime = null;
    this.#become('draining');
    if (endedUnseen) await killLeftovers(instanceMark(this.id), null);
    if (pace === 'drained' && spec.kind === 'service' && (wasReady || foundDraining)) {
      const limit = Math.max(spec.process.stopSeconds * 1000, drainAtLeast);
      const abort = new AbortController();
      const cancel = this.#host.clock.after(limit, () => abort.abort());
      // The change above makes the environment take it from the router, in a microtask that comes before this one.
      await Promise.resolve();
      await this.#host.routes.drained(this.id, abort.signal);
      cancel();
    }
    if (this.#left) return;
    await this.#end();
    // A process that is just ending may still write here: its folder is not empty (ENOTEMPTY) for a moment.
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
    record.port = null;
    this.#become('gone');
  }
}
