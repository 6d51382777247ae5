import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { SlipwayError } from '@slipway/app';
import { checkPlan } from '@slipway/engine';
import type { EnvironmentStatus, LogLine, Plan, PlannedRelease } from '@slipway/engine';
import { isDiskFull, writeWhole } from './files.ts';
import { Activity } from './activity.ts';
import { emptyRecord, RecordFile, type EnvironmentRecord } from './record.ts';
import type { Host } from './host.ts';
import { Instance } from './instance.ts';
import type { InstanceRecord, InstanceSpec } from './instance-record.ts';
import { EnvironmentLogs } from './logs.ts';
import { neededServices, specsOf } from './plans.ts';
import { currentOf, dispensable, startable } from './roster.ts';
import type { SleepTimer } from './sleep.ts';
import { canServe, publicUrls, routeTable, shareTraffic } from './traffic.ts';
import { messageOf } from './thrown.ts';

export interface EnvironmentEvents {
  status(status: EnvironmentStatus): void;
}

/**
 * Keeps one environment as its plan says. Everything that happens (a plan, a state of an instance, sleep, wake) ends in
 * one `#reconcile`, which compares what is with what should be and takes the next step; no step waits for another.
 */
export class Environment {
  readonly name: string;
  readonly folder: string;
  readonly logs: EnvironmentLogs;
  readonly #host: Host;
  readonly #activity: Activity;
  readonly #events: EnvironmentEvents;
  readonly #file: RecordFile;
  #plan: Plan | null = null;
  #record: EnvironmentRecord = emptyRecord();
  #instances: Instance[] = [];
  #notices = new Map<string, string>();
  #mode: 'running' | 'stopping' | 'left' = 'running';
  #accepting: Promise<unknown> = Promise.resolve();
  #scheduled = false;
  #table = '';
  #reported = '';

  constructor(name: string, host: Host, sleep: SleepTimer, events: EnvironmentEvents) {
    this.name = name;
    this.#host = host;
    this.#events = events;
    this.folder = join(host.folder, 'environments', ...name.split('/'));
    this.logs = new EnvironmentLogs(join(this.folder, 'logs'), (notice) => this.notice('logs', notice));
    this.#activity = new Activity(name, host, sleep, {
      instances: () => this.#instances,
      lastRequestAt: () => this.#lastRequestAt(),
    });
    this.#file = new RecordFile(
      this.folder,
      () => this.#currentRecord(),
      (reason) => {
        const text = `The agent can't write down what runs, because ${reason}. It goes on; make room on the disk of ${host.folder} before it is restarted.`;
        this.notice('state', reason === null ? null : text);
      },
    );
  }

  get instances(): readonly Instance[] {
    return this.#instances;
  }

  /** Takes a plan, durably, and begins to make it true. @throws {SlipwayError} as `Engine.converge`. */
  async accept(plan: Plan): Promise<EnvironmentStatus> {
    const turn = this.#accepting.then(() => this.#accept(plan));
    this.#accepting = turn.catch(() => undefined);
    return await turn;
  }

  async #accept(plan: Plan): Promise<EnvironmentStatus> {
    const held = this.#plan;
    if (held !== null && plan.generation < held.generation) {
      throw new SlipwayError(
        'conflict',
        `${this.name} is at plan ${held.generation} already; the older plan ${plan.generation} changes nothing.`,
      );
    }
    if (held !== null && plan.generation === held.generation) {
      if (isDeepStrictEqual(held, plan)) return this.status();
      throw new SlipwayError(
        'conflict',
        `${this.name} holds another plan with the same generation ${plan.generation}; a changed plan needs a higher one.`,
      );
    }
    checkPlan(plan);
    await this.#openInternalPorts([...this.#record.leaving, ...plan.releases]);
    await this.#persistPlan(plan);
    this.#keepServing(held, plan);
    this.#plan = plan;
    const known = new Set(held?.releases.map((release) => release.number));
    const brings = plan.releases.some((release) => !known.has(release.number));
    this.#activity.follow(plan, brings);
    this.#reconcile();
    return this.status();
  }

  async #persistPlan(plan: Plan): Promise<void> {
    try {
      await mkdir(this.folder, { recursive: true, mode: 0o700 });
      await writeWhole(join(this.folder, 'plan.json'), JSON.stringify(plan), 'power-loss');
    } catch (error) {
      const reason = isDiskFull(error) ? 'its disk is full' : messageOf(error);
      throw new SlipwayError(
        'transient',
        `The agent could not keep plan ${plan.generation} of ${this.name}, because ${reason}. The plan before it stays.`,
        {
          hint: `Make room on the disk that holds ${this.#host.folder}; the plan is then sent again.`,
          cause: error,
        },
      );
    }
  }

  /** A release that has the requests stays until another has them, whether the new plan names it or not. */
  #keepServing(held: Plan | null, plan: Plan): void {
    const named = new Set(plan.releases.map((release) => release.number));
    const candidates = [...this.#record.leaving, ...(held?.releases ?? [])];
    this.#record.leaving = candidates.filter(
      (release) => !named.has(release.number) && this.#record.shares.some((share) => share.release === release.number),
    );
  }

  async #openInternalPorts(releases: readonly PlannedRelease[]): Promise<void> {
    for (const service of neededServices(releases)) {
      const before = this.#record.internalPorts[service] ?? null;
      this.#record.internalPorts[service] = await this.#host.routes.internalPort(this.name, service, before);
    }
  }

  /** After a restart of the agent: goes on from what is on disk and what is found running. */
  async restore(plan: Plan, record: Partial<EnvironmentRecord>): Promise<void> {
    this.#record = { ...emptyRecord(), ...record };
    this.#plan = plan;
    this.#activity.restore(plan, this.#record.activity);
    this.#instances = this.#record.instances
      .filter((saved) => saved.state !== 'gone')
      .map((saved) => new Instance(saved, this.#host, this.#instanceEvents()));
    await this.#openInternalPorts([...this.#record.leaving, ...plan.releases]);
    await Promise.all(this.#instances.map((instance) => instance.adopt()));
    for (const instance of this.#instances) if (instance.state === 'draining') this.#retire(instance, 'drained');
    this.#reconcile();
  }

  status(): EnvironmentStatus {
    const plan = this.#plan;
    const able = this.#releases()
      .filter((release) => canServe(release, this.#instances))
      .map((release) => release.number);
    return {
      environment: this.name,
      generation: plan?.generation ?? 0,
      activity: this.#activity.state,
      traffic:
        this.#activity.state === 'asleep' ? [] : this.#record.shares.filter((share) => able.includes(share.release)),
      instances: this.#instances.map((instance) => instance.status()),
      urls: plan === null ? {} : publicUrls(plan, this.#releases(), this.#record.shares, this.#host.routerPort()),
      lastRequestAt: this.#lastRequestAt(),
      notices: [...this.#notices.values()],
    };
  }

  /** Sets (or with null clears) one notice for the operator. */
  notice(subject: string, text: string | null): void {
    if ((this.#notices.get(subject) ?? null) === text) return;
    if (text === null) this.#notices.delete(subject);
    else this.#notices.set(subject, text);
    this.#schedule();
  }

  /** A request came while it slept. Resolves when requests can be served. @throws {SlipwayError} `transient` when a process fails to start. */
  async wake(): Promise<void> {
    const woken = this.#activity.wake();
    this.#schedule();
    await woken;
  }

  /** The sleep timer fired. */
  sleepIfIdle(): void {
    if (!this.#activity.sleepIfIdle()) return;
    this.#record.lastRequestAt = this.#lastRequestAt();
    this.#reconcile();
  }

  #lastRequestAt(): number | null {
    return this.#host.routes.lastRequestAt(this.name) ?? this.#record.lastRequestAt;
  }

  #releases(): PlannedRelease[] {
    return [...this.#record.leaving, ...(this.#plan?.releases ?? [])];
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#reconcile());
  }

  #reconcile(): void {
    this.#scheduled = false;
    if (this.#plan === null || this.#mode === 'left') return;
    if (this.#mode === 'running') {
      const specs = this.#wantedSpecs();
      this.#createMissing(specs);
      for (const instance of startable(this.#instances)) instance.start();
      this.#shiftTraffic(this.#plan);
      this.#settleWaking(this.#plan);
      this.#route(this.#plan);
      this.#retireDispensable();
    }
    this.#report();
    this.#instances = this.#instances.filter((instance) => instance.state !== 'gone');
    this.#file.save();
  }

  /** Requests alone are no news: `lastRequestAt` travels with the next change. */
  #report(): void {
    const status = this.status();
    const text = JSON.stringify({ ...status, lastRequestAt: null });
    if (text === this.#reported) return;
    this.#reported = text;
    this.#events.status(status);
  }

  #wantedSpecs(): InstanceSpec[] {
    if (this.#activity.state === 'asleep') return [];
    const own = { PATH: this.#host.path, LANG: 'C.UTF-8', SLIPWAY_START_RUNNER: this.#host.runner };
    return this.#releases().flatMap((release) => specsOf(this.name, release, own, this.#record.internalPorts));
  }

  #createMissing(specs: readonly InstanceSpec[]): void {
    for (const spec of specs) {
      const have = currentOf(spec.key, this.#instances);
      for (const instance of have) instance.record.spec = { ...spec, variables: instance.spec.variables };
      for (let count = have.length; count < spec.process.replicas; count += 1) this.#instances.push(this.#create(spec));
    }
  }

  #create(spec: InstanceSpec): Instance {
    const id = `${spec.environment.replace('/', '.')}.${spec.process.name}.${spec.release}.${randomBytes(5).toString('hex')}`;
    const facts = { pid: null, startTime: null, port: null, failure: null };
    const record: InstanceRecord = {
      id,
      key: spec.key,
      state: 'pending',
      since: this.#host.clock.now(),
      restarts: 0,
      ...facts,
      spec,
    };
    return new Instance(record, this.#host, this.#instanceEvents());
  }

  #shiftTraffic(plan: Plan): void {
    if (this.#activity.state === 'asleep') return;
    const before = JSON.stringify(this.#record.shares);
    this.#record.shares = shareTraffic(plan, this.#record.shares, this.#instances);
    if (before !== JSON.stringify(this.#record.shares)) this.#activity.trafficMoved();
    this.#record.leaving = this.#record.leaving.filter((release) =>
      this.#record.shares.some((share) => share.release === release.number),
    );
  }

  #settleWaking(plan: Plan): void {
    if (this.#activity.state !== 'waking') return;
    const shares = this.#record.shares;
    const able = this.#releases().some(
      (release) => shares.some((share) => share.release === release.number) && canServe(release, this.#instances),
    );
    const tell = this.#activity.settle(able);
    if (tell === null) return;
    this.#route(plan);
    tell();
  }

  #route(plan: Plan): void {
    const asleep = this.#activity.state === 'asleep';
    const table = routeTable(plan, this.#releases(), this.#record.shares, this.#instances, asleep);
    const text = JSON.stringify(table);
    if (text === this.#table) return;
    this.#table = text;
    this.#host.routes.set(this.name, table);
  }

  /** After traffic has moved. */
  #retireDispensable(): void {
    const pace = this.#activity.state === 'asleep' ? 'quick' : 'drained';
    for (const instance of dispensable(this.#wantedSpecs(), this.#instances)) this.#retire(instance, pace);
  }

  #retire(instance: Instance, pace: 'drained' | 'quick'): void {
    instance
      .retire(pace)
      .catch((error: unknown) => this.#host.log(`${instance.id} could not be cleaned up: ${messageOf(error)}`));
  }

  #instanceEvents() {
    return {
      changed: () => this.#schedule(),
      line: (instance: Instance, stream: 'stdout' | 'stderr', line: string) => {
        const { spec } = instance;
        this.write({
          at: this.#host.clock.now(),
          source: spec.process.name,
          instance: instance.id,
          release: spec.release,
          stream,
          line,
        });
      },
      flood: (instance: Instance, now: boolean) => {
        const name = instance.spec.process.name;
        const text = `${name} (${instance.id}) writes more output than 4 MiB or 20,000 lines a second. It is slowed down, nothing is lost. Let it log less.`;
        this.notice(`flood ${instance.id}`, now ? text : null);
      },
    };
  }

  write(line: LogLine): void {
    this.logs.write(line);
  }

  #currentRecord(): EnvironmentRecord {
    const activity = this.#activity.state === 'asleep' ? 'asleep' : 'awake';
    return { ...this.#record, activity, instances: this.#instances.map((instance) => instance.record) };
  }

  /** Resolves when what happened so far is on disk. */
  async settled(): Promise<void> {
    await this.#file.settled();
    await this.logs.flushed();
  }

  /** Lets go of everything without ending it. */
  async leave(): Promise<void> {
    await this.settled();
    this.#mode = 'left';
    this.#activity.stop();
    for (const instance of this.#instances) instance.leave();
    await this.logs.flushed();
  }

  /** Ends every process; plan and logs stay. */
  async shutDown(): Promise<void> {
    this.#mode = 'stopping';
    this.#activity.stop();
    await Promise.all(this.#instances.map((instance) => instance.retire('quick')));
    this.#instances = [];
    this.#file.save();
    await this.settled();
  }

  /** Deletes everything the plan owns. Resolves when it is gone. */
  async remove(): Promise<void> {
    this.#record.removing = true;
    this.#file.save();
    await this.settled();
    this.#host.routes.delete(this.name);
    await this.shutDown();
    this.#mode = 'left';
    await this.logs.close();
    // A process that is just ending may still write here: its folder is not empty (ENOTEMPTY) for a moment.
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
  }
}
