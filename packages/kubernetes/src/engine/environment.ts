import { isDeepStrictEqual } from 'node:util';
import { messageOf, SlipwayError } from '@slipway/app';
import type { EnvironmentStatus, InstanceState, InstanceStatus, Plan } from '@slipway/engine';
import { applyObjects, desired, isDue, prune, type Desired } from '../apply/applier.ts';
import { explainTerminating } from '../observe/namespace-view.ts';
import type { PodView } from '../observe/pod-view.ts';
import { sleeps } from '../render/activator.ts';
import { NAME_LABEL, RELEASE_LABEL } from '../render/owner.ts';
import { decide, objectsOf, type Decision, type Seen } from './decision.ts';
import { jobGate } from './job-gate.ts';
import { nextRecord, plannedKeys } from './next-record.ts';
import { Notices } from './notices.ts';
import { placeFor, stuckNamespaces, STUCK_MILLISECONDS } from './place.ts';
import { PodHealth } from './pod-health.ts';
import type { EnvironmentRecord, StoredRecord } from './record.ts';
import { RouteFollower, routeVersion, type RouteVersion } from './route-follower.ts';
import { environmentStatus, instanceId, instanceStatus } from './status.ts';
import type { Surroundings } from './surroundings.ts';
import { tearDown } from './tear-down.ts';
import { canServe, type ReadyCount } from './traffic.ts';
import { Wakefulness } from './wakefulness.ts';

const RETRY_MILLISECONDS = { first: 500, most: 30_000 };

/**
 * Makes one environment's plan true and says how far it is. Everything is decided anew at each look from the record and from what the watches
 * show, so it does not matter what happened before, or in which process. A look:
 *
 * 1. decides who gets requests, and which services have to wait for others;
 * 2. writes the inventory, then what is not in the cluster as it should be;
 * 3. asks the gateway until the route is in force, first with the new release and no share for it;
 * 4. writes down where requests go now, and deletes what nobody needs any more.
 *
 * A look follows each change that the watches show, each plan, and each failed look after a pause.
 */
export class Environment {
  readonly name: string;
  readonly #around: Surroundings;
  readonly #health: PodHealth;
  readonly #notices: Notices;
  readonly #route: RouteFollower;
  readonly #wakefulness: Wakefulness;
  readonly #since = new Map<string, { state: InstanceState; at: number }>();
  /** `RELEASE/SERVICE` that were started by this process, or were found running. */
  readonly #started = new Set<string>();
  /** Releases that the gateway was seen to reach before they had requests. */
  readonly #reachable = new Set<number>();
  readonly #listeners = new Set<() => void>();
  #removed = Promise.withResolvers<void>();
  #stored: StoredRecord;
  #life: 'goes-on' | 'over' = 'goes-on';
  #tail: Promise<unknown> = Promise.resolve();
  #due: 'no' | 'yes' = 'no';
  #timer: NodeJS.Timeout | null = null;
  #pause: number = RETRY_MILLISECONDS.first;
  #decision: Decision;
  #written: { key: string; objects: Omit<Desired, 'object'>[] } | null = null;
  #gone: InstanceStatus[] = [];
  #published = '';

  constructor(around: Surroundings, stored: StoredRecord) {
    this.name = stored.record.plan.environment;
    this.#around = around;
    this.#stored = stored;
    this.#notices = new Notices(around.now);
    this.#health = new PodHealth(around.api, () => this.touch(), around.now);
    this.#wakefulness = new Wakefulness(around.now);
    this.#route = new RouteFollower(around.entrance, (problem) => this.#routeChanged(problem));
    this.#removed.promise.catch(() => undefined);
    this.#decision = decide(stored.record, this.#seen());
  }

  get record(): EnvironmentRecord {
    return this.#stored.record;
  }

  get decision(): Decision {
    return this.#decision;
  }

  /** Something may have changed: look again soon. */
  touch(): void {
    if (this.#due === 'yes' || this.#life === 'over') return;
    this.#due = 'yes';
    void this.#exclusively(async () => await this.#look());
  }

  interfered(told: string): void {
    // What is removed anyway nobody heals.
    if (this.record.fate === 'held') this.#notices.add(told);
    this.touch();
  }

  left(pod: PodView): void {
    const last = instanceStatus(pod, { state: 'gone', failure: null }, () => this.#around.now());
    if (last !== null) this.#gone.push(last);
    this.#health.forget(pod);
    this.#since.delete(instanceId(pod));
  }

  stop(): void {
    this.#end();
    this.#removed.reject(new SlipwayError('transient', `The engine stopped before ${this.name} was gone; ask again`));
  }

  /** Takes a plan that was checked; it is in the cluster when this resolves. */
  async accept(plan: Plan): Promise<EnvironmentStatus> {
    return await this.#exclusively(async () => {
      const { record } = this.#stored;
      const keys = plannedKeys(plan, record.namespace, this.#around.render(this.name));
      const next = nextRecord(plan, record, keys);
      if (next !== null) {
        await this.#put(next);
        if (record.fate === 'removing') this.#removalOvertaken(plan);
        if (record.activity === 'asleep' && next.activity === 'awake') this.#wakefulness.woken('plan');
      }
      this.#decision = decide(this.record, this.#seen());
      this.touch();
      return this.status();
    });
  }

  /** Resolves when nothing of it is left. @throws {SlipwayError} `conflict` when a plan comes meanwhile. */
  async remove(): Promise<void> {
    const removed = await this.#exclusively(async () => {
      if (this.record.fate === 'held') await this.#put({ ...this.record, fate: 'removing' });
      this.touch();
      return { promise: this.#removed.promise };
    });
    await removed.promise;
  }

  #removalOvertaken(plan: Plan): void {
    const { reject } = this.#removed;
    this.#removed = Promise.withResolvers();
    this.#removed.promise.catch(() => undefined);
    reject(new SlipwayError('conflict', `${this.name} got the plan ${plan.generation} while it was removed`));
  }

  /** A request of the environment began; wakes it if it sleeps. */
  requestBegan(): void {
    this.#wakefulness.requestBegan();
    if (this.record.activity === 'awake' || this.#wakefulness.isWaking) return;
    this.#wakefulness.woken('request');
    this.#publish();
    void this.#exclusively(async () => {
      if (this.record.activity === 'asleep') await this.#put({ ...this.record, activity: 'awake' });
      this.touch();
    }).catch((error: unknown) => this.#failed(error));
  }

  requestEnded(): void {
    if (this.#wakefulness.requestEnded() === 0) this.#arm();
  }

  /** Pods that requests may be sent to now. */
  readyPods(release: number, service: string): PodView[] {
    return this.#podsOf(release, service).filter(({ ready, life }) => ready.met === 'yes' && life === 'stays');
  }

  /** What fails, for those who wait for it; null: nothing does. */
  failure(): string | null {
    const failing = this.status().instances.find(({ state }) => state === 'failing');
    return failing === undefined ? null : `${failing.name} does not run (${failing.failure?.code ?? 'crashed'})`;
  }

  /** @returns How to stop hearing. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  status(): EnvironmentStatus {
    const { view, entrance, now } = this.#around;
    return environmentStatus({
      record: this.record,
      decision: this.#decision,
      pods: this.#pods().map((pod) => ({ pod, diagnosis: this.#health.of(pod) })),
      gone: this.#gone,
      reached: this.#route.traffic,
      refusal: (process) => view.refusal(this.record.namespace, process),
      activity: this.#wakefulness.isWaking ? 'waking' : this.record.activity,
      port: entrance.port,
      lastRequestAt: this.#wakefulness.lastRequestAt,
      notices: this.#notices.all(),
      since: (id, state) => {
        const known = this.#since.get(id);
        if (known?.state === state) return known.at;
        this.#since.set(id, { state, at: now() });
        return now();
      },
    });
  }

  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#tail.then(work, work);
    this.#tail = turn.catch(() => undefined);
    return await turn;
  }

  async #look(): Promise<void> {
    this.#due = 'no';
    if (this.#life === 'over') return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    try {
      if (this.record.fate === 'removing') await this.#tearDown();
      else if (await this.#hasPlace()) await this.#makeTrue();
      this.#pause = RETRY_MILLISECONDS.first;
      this.#notices.problem(null);
    } catch (error) {
      await this.#failed(error);
    }
    this.#publish();
    this.#arm();
  }

  async #makeTrue(): Promise<void> {
    const { view, api } = this.#around;
    if (this.record.plan.protected === true) await this.#around.protect();
    for (const release of this.#reachable) if (!this.#able(release)) this.#reachable.delete(release);
    const decision = decide(this.record, this.#seen());
    this.#decision = decision;
    const route = this.#routeVersion(decision);
    const objects = await this.#write(decision, route.word);
    this.#followRoute(decision, route);
    await this.#settle(decision, route);
    await prune(api, view.objects, this.record.namespace, {
      wanted: new Set(objects.map(({ key }) => key)),
      inventory: new Set(this.record.inventory),
    });
    await this.#maySleep();
  }

  /** @returns What is wanted, whether it was written or is held back. */
  async #write(decision: Decision, probe: string): Promise<Omit<Desired, 'object'>[]> {
    const { view, api, render } = this.#around;
    const { namespace } = this.record;
    const key = (): string => JSON.stringify([this.#stored.version, [...decision.held], decision.traffic, probe]);
    const before = this.#written;
    // Rendering is the dear part of a look that changes nothing.
    if (before?.key === key() && !before.objects.some((one) => isDue(view.objects, namespace, one)))
      return before.objects;
    const { objects, held } = objectsOf(this.record, decision, { ...render(this.name), probe });
    const wanted = objects.map(desired);
    const missing = wanted.map((one) => one.key).filter((one) => !this.record.inventory.includes(one));
    if (missing.length > 0)
      await this.#put({ ...this.record, inventory: [...this.record.inventory, ...missing].sort() });
    const waiting = this.#gate(wanted);
    await applyObjects(
      api,
      view.objects,
      namespace,
      wanted.filter((one) => !waiting.has(one)),
    );
    this.#noteStarted(wanted.filter((one) => !waiting.has(one)));
    const list = [...wanted, ...held.map(desired)].map(({ key, kind, hash }) => ({ key, kind, hash }));
    this.#written = waiting.size === 0 ? { key: key(), objects: list } : null;
    return list;
  }

  #gate(wanted: readonly Desired[]): ReadonlySet<Desired> {
    const { waiting, failed } = jobGate(
      wanted,
      (release) => [...this.#started].some((one) => one.startsWith(`${release}/`)),
      (name) => this.#around.view.job(this.record.namespace, name),
    );
    for (const { key } of failed) this.#notices.add(`${key} failed, so the release that it runs before is not started`);
    return waiting;
  }

  #noteStarted(written: readonly Desired[]): void {
    if (this.record.activity === 'asleep') this.#started.clear();
    else
      for (const { kind, object } of written)
        if (kind === 'Deployment')
          this.#started.add(`${object.metadata.labels[RELEASE_LABEL]}/${object.metadata.labels[NAME_LABEL]}`);
  }

  #routeVersion(decision: Decision): RouteVersion {
    const { key } = this.#around.render(this.name);
    return routeVersion(this.record, decision, { mode: this.#maySleepAtAll() ? 'sleeps' : 'stays', key });
  }

  #followRoute(decision: Decision, version: RouteVersion): void {
    const able = decision.traffic.length > 0 && decision.traffic.every(({ release }) => this.#able(release));
    if (this.record.activity === 'asleep' || !able) this.#route.lose();
    else this.#route.want(version);
  }

  #routeChanged(problem: unknown): void {
    if (problem !== null) void this.#failed(problem);
    else this.#wakefulness.serves();
    this.touch();
  }

  /** Writes down where requests go now; what was kept for them may go. */
  async #settle(decision: Decision, version: RouteVersion): Promise<void> {
    if (!this.#route.isInForce(version)) return;
    if (decision.tried.length > 0) {
      for (const release of decision.tried) this.#reachable.add(release);
      return this.touch();
    }
    const served = new Set(decision.traffic.map(({ release }) => release));
    const kept = this.record.kept.filter(({ number }) => served.has(number));
    if (isDeepStrictEqual(this.record.traffic, decision.traffic) && kept.length === this.record.kept.length) return;
    const there = new Set(this.#around.view.objects.in(this.record.namespace).map(({ key }) => key));
    const inventory = this.record.inventory.filter((key) => there.has(key));
    await this.#put({ ...this.record, traffic: decision.traffic, kept, inventory });
    // What follows from it is deleted in the look after this one.
    this.touch();
  }

  /** @returns false while a namespace of the same name is still being deleted; a stuck one is given up, and another name is taken. */
  async #hasPlace(): Promise<boolean> {
    const { view, now } = this.#around;
    this.#tellStuck();
    const place = placeFor(view, this.name, this.record.namespace, now());
    if (place.kind === 'soon') this.#again(place.milliseconds);
    if (place.kind !== 'elsewhere') return place.kind === 'here';
    this.#started.clear();
    this.#route.lose();
    await this.#put({ ...this.record, namespace: place.namespace, inventory: [], traffic: [], kept: [] });
    return true;
  }

  #tellStuck(): void {
    const { view, now } = this.#around;
    this.#notices.standing(stuckNamespaces(view, this.name, now()).map(explainTerminating));
  }

  async #tearDown(): Promise<void> {
    const { view, api, records, publish } = this.#around;
    const left = await tearDown(api, view, this.name, this.record.plan.protected === true ? 'on' : 'off');
    this.#tellStuck();
    if (left > 0) return this.#again(STUCK_MILLISECONDS);
    await this.#around.entrance.forgotten(this.#routeVersion(this.#decision));
    await records.delete(this.name);
    this.#end();
    publish({ kind: 'removed', environment: this.name });
    this.#removed.resolve();
  }

  #end(): void {
    this.#life = 'over';
    this.#route.lose();
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #maySleepAtAll(): boolean {
    return sleeps(this.#around.render(this.name).target, this.record.plan);
  }

  /** An Ingress knows no rules for one release, and behind the activator all of them are reached alike. */
  #canTry(): boolean {
    return this.#around.render(this.name).target.entrance.kind === 'gateway' && !this.#maySleepAtAll();
  }

  async #maySleep(): Promise<void> {
    const at = this.#sleepsAt();
    if (at === null || at > this.#around.now()) return;
    this.#started.clear();
    this.#route.lose();
    await this.#put({ ...this.record, activity: 'asleep' });
    this.touch();
  }

  /** When it falls asleep if nothing happens, milliseconds since 1970; null: not at all. */
  #sleepsAt(): number | null {
    const { plan, activity } = this.record;
    if (!this.#maySleepAtAll() || plan.sleepSeconds === null || activity === 'asleep') return null;
    if (plan.tasks === 'waiting' || this.#route.state !== 'reached') return null;
    return this.#wakefulness.idleAt(plan.sleepSeconds);
  }

  #arm(): void {
    const times = [this.#sleepsAt(), this.#health.nextChange(this.#pods())].filter((time) => time !== null);
    if (times.length > 0) this.#again(Math.min(...times) - this.#around.now());
  }

  #again(milliseconds: number): void {
    if (this.#life === 'over') return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.touch(), Math.max(0, milliseconds));
  }

  async #failed(error: unknown): Promise<void> {
    if (this.#life === 'over') return;
    this.#notices.problem(messageOf(error));
    this.#again(this.#pause);
    this.#pause = Math.min(this.#pause * 2, RETRY_MILLISECONDS.most);
    if (!(error instanceof SlipwayError && error.kind === 'conflict')) return;
    // Another process wrote the record: what it says holds.
    try {
      this.#stored = (await this.#around.records.get(this.name)) ?? this.#stored;
    } catch (second) {
      this.#notices.problem(messageOf(second));
    }
  }

  async #put(record: EnvironmentRecord): Promise<void> {
    const version = await this.#around.records.put(record, this.#stored.version);
    this.#stored = { record, version };
  }

  #pods(): PodView[] {
    return this.#around.view.pods(this.record.namespace);
  }

  #podsOf(release: number, name: string): PodView[] {
    return this.#pods().filter((pod) => pod.release === release && pod.process === name && pod.component !== 'job');
  }

  readonly #ready: ReadyCount = (release, name) => this.readyPods(release, name).length;

  #able(release: number): boolean {
    const known = this.#decision.releases.find(({ number }) => number === release);
    return known !== undefined && canServe(known, this.#ready);
  }

  #seen(): Seen {
    return {
      ready: this.#ready,
      started: (release, service) =>
        this.#started.has(`${release}/${service}`) || this.#podsOf(release, service).length > 0,
      reached: (release) => !this.#canTry() || this.#reachable.has(release),
    };
  }

  #publish(): void {
    if (this.#life === 'over') return;
    const status = this.status();
    const text = JSON.stringify(status);
    if (text === this.#published) return;
    this.#published = text;
    this.#gone = [];
    this.#around.publish({ kind: 'status', status });
    for (const listener of this.#listeners) listener();
  }
}
