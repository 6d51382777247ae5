import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { SlipwayError } from '@slipway/app';
import type { EnvironmentStatus, LogLine, Plan, PlannedRelease } from '@slipway/engine';
import { isDiskFull, writeWhole } from './files.ts';
import { emptyRecord, RecordFile, type EnvironmentRecord } from './record.ts';
import type { Host } from './host.ts';
import { Instance } from './instance.ts';
import type { InstanceRecord, InstanceSpec } from './instance-record.ts';
import { EnvironmentLogs } from './logs.ts';
import { checkPlan, neededServices, specsOf } from './plans.ts';
import type { SleepTimer } from './sleep.ts';
import { canServe, publicUrls, routeTable, shareTraffic } from './traffic.ts';
import { messageOf } from './thrown.ts';

export interface EnvironmentEvents {
  status(status: EnvironmentStatus): void;
}

interface Waking {
  promise: Promise<void>;
  resolve: () => void;
  reject: (error: Error) => void;
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
  readonly #sleep: SleepTimer;
  readonly #events: EnvironmentEvents;
  readonly #file: RecordFile;
  #plan: Plan | null = null;
  #record: EnvironmentRecord = { ...emptyRecord };
  #instances: Instance[] = [];
  #activity: EnvironmentStatus['activity'] = 'awake';
  #awakeSince: number;
  #waking: Waking | null = null;
  #notices = new Map<string, string>();
  #mode: 'running' | 'stopping' | 'left' = 'running';
  #accepting: Promise<unknown> = Promise.resolve();
  #scheduled = false;
  #table = '';
  #reported = '';

  constructor(name: string, host: Host, sleep: SleepTimer, events: EnvironmentEvents) {
    this.name = name;
    this.#host = host;
    this.#sleep = sleep;
    this.#events = events;
    this.folder = join(host.folder, 'environments', ...name.split('/'));
    this.logs = new EnvironmentLogs(join(this.folder, 'logs'), (notice) => this.notice('logs', notice));
    this.#awakeSince = host.clock.now();
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
    // A new release must prove itself, and an environment that may not sleep is awake.
    if (this.#activity === 'asleep' && (brings || plan.sleepSeconds === null)) this.#becomeAwake('awake');
    if (brings) this.#awakeSince = this.#host.clock.now();
    this.#planSleep();
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
    this.#record = { ...emptyRecord, ...record };
    this.#plan = plan;
    this.#activity = this.#record.activity;
    this.#instances = this.#record.instances
      .filter((saved) => saved.state !== 'gone')
      .map((saved) => new Instance(saved, this.#host, this.#instanceEvents()));
    await this.#openInternalPorts([...this.#record.leaving, ...plan.releases]);
    await Promise.all(this.#instances.map((instance) => instance.adopt()));
    for (const instance of this.#instances) if (instance.state === 'draining') this.#retire(instance, 'drained');
    this.#planSleep();
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
      activity: this.#activity,
      traffic: this.#activity === 'asleep' ? [] : this.#record.shares.filter((share) => able.includes(share.release)),
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
    if (this.#activity === 'awake') return;
    if (this.#waking === null) {
      const waking = Promise.withResolvers<void>();
      this.#waking = waking;
      this.#becomeAwake('waking');
      this.#reconcile();
    }
    await this.#waking.promise;
  }

  #becomeAwake(activity: 'awake' | 'waking'): void {
    this.#activity = activity;
    this.#awakeSince = this.#host.clock.now();
    this.#planSleep();
  }

  #lastRequestAt(): number | null {
    return this.#host.routes.lastRequestAt(this.name) ?? this.#record.lastRequestAt;
  }

  #planSleep(): void {
    const seconds = this.#plan?.sleepSeconds ?? null;
    const wakeable = this.#plan?.releases.some((release) => release.services.some((service) => service.route !== null));
    if (seconds === null || wakeable !== true || this.#activity === 'asleep' || this.#mode !== 'running')
      return this.#sleep.forget(this.name);
    const idleSince = Math.max(this.#awakeSince, this.#lastRequestAt() ?? 0);
    this.#sleep.schedule(this.name, idleSince + seconds * 1000);
  }

  /** The sleep timer fired: sleep, or find out when to look again. */
  sleepIfIdle(): void {
    const seconds = this.#plan?.sleepSeconds ?? null;
    if (seconds === null || this.#activity !== 'awake' || this.#mode !== 'running') return;
    const now = this.#host.clock.now();
    const starting = this.#instances.some((one) => one.state === 'pending' || one.state === 'starting');
    const idleSince = Math.max(this.#awakeSince, this.#lastRequestAt() ?? 0);
    if (starting || this.#host.routes.inFlight(this.name) > 0)
      return this.#sleep.schedule(this.name, now + Math.min(seconds, 60) * 1000);
    if (now - idleSince < seconds * 1000) return this.#planSleep();
    this.#activity = 'asleep';
    this.#record.lastRequestAt = this.#lastRequestAt();
    this.#reconcile();
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
      this.#startWhatCan();
      this.#shiftTraffic(this.#plan);
      this.#settleWaking(this.#plan);
      this.#route(this.#plan);
      this.#retireUnwanted(this.#wantedSpecs());
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
    if (this.#activity === 'asleep') return [];
    return this.#releases().flatMap((release) =>
      specsOf(this.name, release, this.#host.path, this.#record.internalPorts),
    );
  }

  #createMissing(specs: readonly InstanceSpec[]): void {
    for (const spec of specs) {
      const have = this.#current(spec.key);
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

  #current(key: string): Instance[] {
    return this.#instances.filter(
      (instance) => instance.record.key === key && instance.state !== 'draining' && instance.state !== 'gone',
    );
  }

  #startWhatCan(): void {
    for (const instance of this.#instances) {
      if (instance.state !== 'pending') continue;
      const needs = instance.spec.service?.needs ?? [];
      const met = needs.every((need) =>
        this.#instances.some(
          (peer) =>
            peer.state === 'ready' && peer.spec.release === instance.spec.release && peer.spec.process.name === need,
        ),
      );
      if (met) instance.start();
    }
  }

  #shiftTraffic(plan: Plan): void {
    if (this.#activity === 'asleep') return;
    const before = JSON.stringify(this.#record.shares);
    this.#record.shares = shareTraffic(plan, this.#record.shares, this.#instances);
    // Idle time counts from when requests could come, not from when the processes began to start.
    if (before !== JSON.stringify(this.#record.shares)) this.#awakeSince = this.#host.clock.now();
    this.#record.leaving = this.#record.leaving.filter((release) =>
      this.#record.shares.some((share) => share.release === release.number),
    );
  }

  #settleWaking(plan: Plan): void {
    if (this.#activity !== 'waking') return;
    const shares = this.#record.shares;
    const able = this.#releases().some(
      (release) => shares.some((share) => share.release === release.number) && canServe(release, this.#instances),
    );
    const failing = this.#instances.find((instance) => instance.state === 'failing');
    if (!able && failing === undefined) return;
    this.#activity = 'awake';
    this.#planSleep();
    const waking = this.#waking;
    this.#waking = null;
    // The router must know the new table before it is told to go on.
    this.#route(plan);
    if (able) return waking?.resolve();
    waking?.reject(
      new SlipwayError(
        'transient',
        `${this.name} was asleep and could not be woken: ${failing?.spec.process.name} does not start (${failing?.record.failure?.code}). It is tried again by itself. "slipway why ${this.name}" tells more.`,
      ),
    );
  }

  #route(plan: Plan): void {
    const table = routeTable(plan, this.#releases(), this.#record.shares, this.#instances, this.#activity === 'asleep');
    const text = JSON.stringify(table);
    if (text === this.#table) return;
    this.#table = text;
    this.#host.routes.set(this.name, table);
  }

  /** After traffic has moved: what no spec wants goes, and of what is replaced in the same release the old goes last. */
  #retireUnwanted(specs: readonly InstanceSpec[]): void {
    const pace = this.#activity === 'asleep' ? 'quick' : 'drained';
    for (const instance of this.#instances) {
      if (instance.state === 'draining' || instance.state === 'gone') continue;
      const spec = specs.find((spec) => spec.key === instance.record.key);
      if (spec !== undefined) {
        const have = this.#current(spec.key);
        const surplus = have.length - spec.process.replicas;
        const [last] = surplus > 0 ? [...have].sort((a, b) => rank(a) - rank(b)) : [];
        if (last === instance) this.#retire(instance, pace);
        continue;
      }
      const replacement = specs.find(
        (spec) => spec.release === instance.spec.release && spec.process.name === instance.spec.process.name,
      );
      const replaced =
        replacement === undefined ||
        replacement.process.replicas === 0 ||
        this.#current(replacement.key).some((peer) => peer.state === 'ready');
      if (replaced || instance.state !== 'ready') this.#retire(instance, pace);
    }
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
    const activity = this.#activity === 'asleep' ? 'asleep' : 'awake';
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
    this.#sleep.forget(this.name);
    for (const instance of this.#instances) instance.leave();
    await this.logs.flushed();
  }

  /** Ends every process; plan and logs stay. */
  async shutDown(): Promise<void> {
    this.#mode = 'stopping';
    this.#sleep.forget(this.name);
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
    this.#waking?.reject(new SlipwayError('not-found', `${this.name} was removed.`));
    this.#waking = null;
    this.#host.routes.delete(this.name);
    await this.shutDown();
    this.#mode = 'left';
    await this.logs.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Who goes first when there are too many: what is furthest from ready. */
function rank(instance: Instance): number {
  const order = { gone: 0, draining: 0, failing: 1, pending: 2, starting: 3, ready: 4 };
  return order[instance.state];
}
