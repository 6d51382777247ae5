import { createHmac } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { messageOf, SlipwayError } from '@slipway/app';
import type { EnvironmentStatus, InstanceState, InstanceStatus, Observation, Plan } from '@slipway/engine';
import type { ApiClient } from '../api/client.ts';
import { collectionPath, objectPath } from '../api/resources.ts';
import { applyObjects, desired, isDue, prune, type Desired } from '../apply/applier.ts';
import type { ClusterView } from '../observe/cluster-view.ts';
import { explainTerminating } from '../observe/namespace-view.ts';
import type { PodView } from '../observe/pod-view.ts';
import { sleeps } from '../render/activator.ts';
import type { KubernetesObject } from '../render/kubernetes-object.ts';
import { labelOf } from '../render/names.ts';
import { ownerOf } from '../render/owner.ts';
import { decide, objectsOf, type Decision, type RenderEnvironment } from './decision.ts';
import type { Entrance, Probe } from './entrance.ts';
import { Notices } from './notices.ts';
import { unprotect } from './protect.ts';
import { PodHealth } from './pod-health.ts';
import type { EnvironmentRecord, RecordStore, Share, StoredRecord } from './record.ts';
import { environmentStatus, instanceId, instanceStatus } from './status.ts';
import { canServe, keptReleases, type ReadyCount } from './traffic.ts';
import { checkPlan } from './check-plan.ts';

/** What all environments of an engine share. */
export interface Surroundings {
  api: ApiClient;
  view: ClusterView;
  records: RecordStore;
  entrance: Entrance;
  render: (environment: string) => Omit<RenderEnvironment, 'probe'>;
  /** Keeps others from deleting protected environments; once for all of them. */
  protect: () => Promise<void>;
  publish: (observation: Observation) => void;
  now: () => number;
}

/** A namespace that is deleted for longer than this does not hold up its successor. */
const STUCK_MILLISECONDS = 10_000;
const RETRY_MILLISECONDS = { first: 500, most: 30_000 };
/** Seconds that processes get when their whole environment is removed. */
const REMOVAL_GRACE_SECONDS = 2;

/**
 * Makes one environment's plan true and says how far it is. Everything is decided anew at each look from the record and from what the watches
 * show, so it does not matter what happened before, or in which process. A look:
 *
 * 1. decides who gets requests, and which services have to wait for others;
 * 2. writes the inventory, then what is not in the cluster as it should be;
 * 3. asks the gateway until the route is in force;
 * 4. writes down where requests go now, and deletes what nobody needs any more.
 *
 * A look follows each change that the watches show, each plan, and each failed look after a pause.
 */
export class Environment {
  readonly name: string;
  readonly #around: Surroundings;
  readonly #health: PodHealth;
  readonly #notices: Notices;
  readonly #since = new Map<string, { state: InstanceState; at: number }>();
  readonly #started = new Set<string>();
  readonly #abort = new AbortController();
  #stored: StoredRecord;
  #tail: Promise<unknown> = Promise.resolve();
  #due: 'no' | 'yes' = 'no';
  #timer: NodeJS.Timeout | null = null;
  #pause: number = RETRY_MILLISECONDS.first;
  #decision: Decision;
  #written: { key: string; objects: Omit<Desired, 'object'>[] } | null = null;
  /** Where the gateway was seen to bring requests, and under which word. */
  #reached: { word: string; traffic: Share[] } | null = null;
  #confirming: { word: string; abort: AbortController } | null = null;
  #gone: InstanceStatus[] = [];
  #published = '';
  #removed = Promise.withResolvers<void>();
  #waking: 'no' | 'yes' = 'no';
  #activity: { last: number | null; open: number } = { last: null, open: 0 };
  #awakeSince: number;
  #listeners = new Set<() => void>();

  constructor(around: Surroundings, stored: StoredRecord) {
    this.name = stored.record.plan.environment;
    this.#around = around;
    this.#stored = stored;
    this.#notices = new Notices(around.now);
    this.#health = new PodHealth(around.api, () => this.touch(), around.now);
    this.#awakeSince = around.now();
    this.#decision = decide(stored.record, this.#seen());
  }

  get record(): EnvironmentRecord {
    return this.#stored.record;
  }

  get decision(): Decision {
    return this.#decision;
  }

  /** Resolves when nothing of it is left. */
  get removed(): Promise<void> {
    return this.#removed.promise;
  }

  /** Something may have changed: look again soon. */
  touch(): void {
    if (this.#due === 'yes' || this.#abort.signal.aborted) return;
    this.#due = 'yes';
    void this.#exclusively(async () => await this.#look());
  }

  interfered(told: string): void {
    this.#notices.add(told);
    this.touch();
  }

  left(pod: PodView): void {
    const last = instanceStatus(pod, { state: 'gone', failure: null }, () => this.#around.now());
    if (last !== null) this.#gone.push(last);
    this.#health.forget(pod);
    this.#since.delete(instanceId(pod));
  }

  stop(): void {
    this.#abort.abort();
    this.#confirming?.abort.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#removed.resolve();
  }

  /** Takes a plan that was checked; it is in the cluster when this resolves. */
  async accept(plan: Plan): Promise<EnvironmentStatus> {
    return await this.#exclusively(async () => {
      const { record } = this.#stored;
      const next = nextRecord(plan, record, this.#planned(plan, record));
      if (next !== null) {
        await this.#put(next);
        if (record.activity === 'asleep' && next.activity === 'awake') this.#awaken('no');
      }
      this.#decision = decide(this.record, this.#seen());
      this.touch();
      return this.#status();
    });
  }

  async remove(): Promise<void> {
    await this.#exclusively(async () => {
      if (this.record.fate === 'held') await this.#put({ ...this.record, fate: 'removing' });
      this.touch();
    });
    await this.removed;
  }

  /** A request of the environment began; wakes it if it sleeps. */
  requestBegan(): void {
    this.#activity = { last: this.#around.now(), open: this.#activity.open + 1 };
    if (this.record.activity === 'asleep' && this.#waking === 'no') this.#wake();
  }

  requestEnded(): void {
    this.#activity = { last: this.#around.now(), open: this.#activity.open - 1 };
    if (this.#activity.open === 0) this.#arm();
  }

  /** Pods that requests may be sent to now, by release. */
  readyPods(release: number, service: string): PodView[] {
    return this.#podsOf(release, service).filter(({ ready, life }) => ready.met === 'yes' && life === 'stays');
  }

  /** The newest failure of what should answer, for those who wait for it; null: nothing failed. */
  failure(): string | null {
    const failing = this.#status().instances.find(({ state }) => state === 'failing');
    return failing === undefined ? null : `${failing.name} does not run (${failing.failure?.code ?? 'crashed'})`;
  }

  /** @returns How to stop hearing. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #wake(): void {
    this.#awaken('yes');
    void this.#exclusively(async () => {
      await this.#put({ ...this.record, activity: 'awake' });
      this.touch();
    }).catch((error: unknown) => this.#failed(error));
    this.#publish();
  }

  #awaken(waking: 'no' | 'yes'): void {
    this.#waking = waking;
    this.#awakeSince = this.#around.now();
    this.#reached = null;
  }

  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#tail.then(work, work);
    this.#tail = turn.catch(() => undefined);
    return await turn;
  }

  async #look(): Promise<void> {
    this.#due = 'no';
    if (this.#abort.signal.aborted) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    try {
      if (this.record.fate === 'removing') await this.#tearDown();
      else if (await this.#hasPlace()) await this.#makeTrue();
      this.#pause = RETRY_MILLISECONDS.first;
      this.#notices.problem(null);
    } catch (error) {
      this.#failed(error);
    }
    this.#publish();
    this.#arm();
  }

  #failed(error: unknown): void {
    if (this.#abort.signal.aborted) return;
    this.#notices.problem(messageOf(error));
    if (error instanceof SlipwayError && error.kind === 'conflict') void this.#reload().catch(() => undefined);
    this.#again(this.#pause);
    this.#pause = Math.min(this.#pause * 2, RETRY_MILLISECONDS.most);
  }

  async #reload(): Promise<void> {
    const stored = await this.#around.records.get(this.name);
    if (stored !== null) this.#stored = stored;
  }

  async #makeTrue(): Promise<void> {
    const { view, api } = this.#around;
    if (this.record.plan.protected === true) await this.#around.protect();
    const decision = decide(this.record, this.#seen());
    this.#decision = decision;
    const word = this.#word(decision);
    const objects = await this.#write(decision, word);
    for (const release of decision.releases)
      for (const { name } of release.services)
        if (!decision.held.has(`${release.number}/${name}`)) this.#started.add(`${release.number}/${name}`);
    if (this.record.activity === 'asleep') this.#started.clear();
    this.#followRoute(decision, word);
    await this.#settle(decision, word);
    await prune(api, view.objects, this.record.namespace, {
      wanted: new Set(objects.map(({ key }) => key)),
      inventory: new Set(this.record.inventory),
    });
    await this.#maySleep();
  }

  /** @returns What is wanted, whether it was written or is held back. */
  async #write(decision: Decision, word: string): Promise<Omit<Desired, 'object'>[]> {
    const { view, api, render } = this.#around;
    const { namespace } = this.record;
    const key = JSON.stringify([this.#stored.version, [...decision.held], decision.traffic, word]);
    const before = this.#written;
    // Rendering is the dear part of a look that changes nothing.
    if (before?.key === key && !before.objects.some((one) => isDue(view.objects, namespace, one)))
      return before.objects;
    const { objects, held } = objectsOf(this.record, decision, { ...render(this.name), probe: word });
    const wanted = objects.map(desired);
    const missing = wanted.filter((one) => !this.record.inventory.includes(one.key));
    if (missing.length > 0)
      await this.#put({
        ...this.record,
        inventory: [...this.record.inventory, ...missing.map((one) => one.key)].sort(),
      });
    const due = wanted.filter((one) => !this.#ranBefore(one));
    await applyObjects(api, view.objects, namespace, due);
    const list = [...wanted, ...held.map(desired)].map(({ key, kind, hash }) => ({ key, kind, hash }));
    this.#written = {
      key: JSON.stringify([this.#stored.version, [...decision.held], decision.traffic, word]),
      objects: list,
    };
    return list;
  }

  /** A Job that is gone after what waited for it was started has run: it is not made again. */
  #ranBefore({ kind, object }: Desired): boolean {
    if (kind !== 'Job') return false;
    const release = Number(object.metadata.labels['slipway.dev/release'] ?? Number.NaN);
    const planned = this.record.plan.releases.find(({ number }) => number === release);
    return planned?.services.some(({ name }) => this.#started.has(`${release}/${name}`)) === true;
  }

  /** Follows what the gateway does: see `Entrance`. What was reached is reached until a release can't serve, or the route changes. */
  #followRoute(decision: Decision, word: string): void {
    const able = decision.traffic.every(({ release }) => this.#able(release));
    if (this.record.activity === 'asleep' || !able) {
      this.#confirming?.abort.abort();
      this.#confirming = null;
      this.#reached = null;
      return;
    }
    if (this.#reached?.word === word || this.#confirming?.word === word) return;
    this.#confirming?.abort.abort();
    const confirming = { word, abort: new AbortController() };
    this.#confirming = confirming;
    const { plan } = this.record;
    void this.#around.entrance
      .confirm(plan.hosts[0] ?? '', word, this.#probes(decision), confirming.abort.signal)
      .then(() => {
        if (this.#confirming !== confirming) return;
        this.#confirming = null;
        this.#reached = { word, traffic: decision.traffic };
        if (this.#waking === 'yes') this.#awakeSince = this.#around.now();
        this.#waking = 'no';
        this.touch();
      })
      .catch((error: unknown) => {
        if (!confirming.abort.signal.aborted) this.#failed(error);
      });
  }

  #probes(decision: Decision): Probe[] {
    const sleeper = this.#sleeper();
    return decision.traffic.flatMap(({ release }) =>
      (decision.releases.find(({ number }) => number === release)?.services ?? []).flatMap(({ name, route, health }) =>
        route === null
          ? []
          : [
              {
                release: sleeper ? 0 : release,
                service: name,
                path: health?.startsWith(route) === true ? health : route,
              },
            ],
      ),
    );
  }

  /** Changes with each change of the route, and is the same in each process. */
  #word({ traffic, releases }: Decision): string {
    const { hosts } = this.record.plan;
    const routed = releases.map(({ number, services }) => [number, services.map(({ name, route }) => [name, route])]);
    const about = this.#sleeper() ? [hosts, this.record.namespace] : [hosts, routed, traffic, this.record.namespace];
    return createHmac('sha256', this.#around.render(this.name).key)
      .update(JSON.stringify([this.name, about]))
      .digest('hex')
      .slice(0, 16);
  }

  /** Writes down where requests go now; what was kept for them may go. */
  async #settle(decision: Decision, word: string): Promise<void> {
    if (this.#reached?.word !== word || this.record.activity === 'asleep') return;
    const served = new Set(decision.traffic.map(({ release }) => release));
    const kept = this.record.kept.filter(({ number }) => served.has(number));
    const same = isDeepStrictEqual(this.record.traffic, decision.traffic) && kept.length === this.record.kept.length;
    this.#reached = { word, traffic: decision.traffic };
    if (same) return;
    const there = new Set(this.#around.view.objects.in(this.record.namespace).map(({ key }) => key));
    const inventory = this.record.inventory.filter((key) => there.has(key));
    await this.#put({ ...this.record, traffic: decision.traffic, kept, inventory });
    // What follows from it is deleted in the look after this one.
    this.touch();
  }

  /** @returns false while a namespace of the same name is still being deleted; a stuck one is given up, and another name is taken. */
  async #hasPlace(): Promise<boolean> {
    const { view, now } = this.#around;
    const going = view.namespacesOf(this.name).filter(({ terminating }) => terminating !== null);
    const stuck = going.filter(({ terminating }) => now() - (terminating?.since ?? 0) >= STUCK_MILLISECONDS);
    this.#notices.standing(stuck.map(explainTerminating));
    const current = going.find(({ name }) => name === this.record.namespace);
    if (current === undefined) return true;
    if (!stuck.includes(current)) {
      this.#again((current.terminating?.since ?? 0) + STUCK_MILLISECONDS - now());
      return false;
    }
    const namespace = successor(this.name, new Set(view.namespacesOf(this.name).map(({ name }) => name)));
    this.#started.clear();
    this.#reached = null;
    await this.#put({ ...this.record, namespace, inventory: [], traffic: [], kept: [] });
    return true;
  }

  async #tearDown(): Promise<void> {
    const { view, api, records } = this.#around;
    const namespaces = view.namespacesOf(this.name);
    for (const { name, uid, terminating } of namespaces) {
      if (terminating !== null) continue;
      if (this.record.plan.protected === true) await unprotect(api, name);
      await api.delete(objectPath('Namespace', null, name), { preconditions: { uid } });
      const grace = { gracePeriodSeconds: REMOVAL_GRACE_SECONDS };
      await api.delete(collectionPath('Pod', name), grace);
    }
    this.#notices.standing(
      namespaces
        .filter(
          ({ terminating }) => this.#around.now() - (terminating?.since ?? this.#around.now()) > STUCK_MILLISECONDS,
        )
        .map(explainTerminating),
    );
    if (namespaces.length > 0) return;
    await records.delete(this.name);
    this.stop();
    this.#around.publish({ kind: 'removed', environment: this.name });
  }

  #sleeper(): boolean {
    return sleeps(this.#around.render(this.name).target, this.record.plan);
  }

  async #maySleep(): Promise<void> {
    const at = this.#sleepsAt();
    if (at === null || at > this.#around.now()) return;
    this.#started.clear();
    this.#reached = null;
    await this.#put({ ...this.record, activity: 'asleep' });
    this.touch();
  }

  /** When it falls asleep if nothing happens, milliseconds since 1970; null: not at all. */
  #sleepsAt(): number | null {
    const { plan, activity } = this.record;
    if (!this.#sleeper() || plan.sleepSeconds === null || activity === 'asleep') return null;
    const busy =
      this.#activity.open > 0 || plan.tasks === 'waiting' || this.#reached === null || this.#confirming !== null;
    if (busy) return null;
    return Math.max(this.#activity.last ?? 0, this.#awakeSince) + plan.sleepSeconds * 1000;
  }

  #arm(): void {
    const times = [this.#sleepsAt(), this.#health.nextChange(this.#pods())].filter((time) => time !== null);
    if (times.length > 0) this.#again(Math.min(...times) - this.#around.now());
  }

  #again(milliseconds: number): void {
    if (this.#abort.signal.aborted) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.touch(), Math.max(0, milliseconds));
  }

  async #put(record: EnvironmentRecord): Promise<void> {
    const version = await this.#around.records.put(record, this.#stored.version === '' ? null : this.#stored.version);
    this.#stored = { record, version };
  }

  /** What a plan adds to the inventory. @throws {SlipwayError} `mistake` when it can't be rendered. */
  #planned(plan: Plan, record: EnvironmentRecord): string[] {
    return plannedKeys(this.#around, plan, record.namespace);
  }

  #pods(): PodView[] {
    return this.#around.view.pods(this.record.namespace);
  }

  #podsOf(release: number, name: string): PodView[] {
    return this.#pods().filter((pod) => pod.release === release && pod.process === name && pod.component !== 'job');
  }

  #ready: ReadyCount = (release, name) => this.readyPods(release, name).length;

  #able(release: number): boolean {
    const known = this.#decision.releases.find(({ number }) => number === release);
    return known !== undefined && canServe(known, this.#ready);
  }

  #seen() {
    const { view } = this.#around;
    return {
      ready: this.#ready,
      started: (release: number, service: string) =>
        this.#started.has(`${release}/${service}`) || this.#podsOf(release, service).length > 0,
      jobs: (name: string) => view.job(this.record.namespace, name),
    };
  }

  status(): EnvironmentStatus {
    return this.#status();
  }

  #status(): EnvironmentStatus {
    const { view, entrance, now } = this.#around;
    const asleep = this.record.activity === 'asleep';
    return environmentStatus({
      record: this.record,
      decision: this.#decision,
      pods: this.#pods().map((pod) => ({ pod, diagnosis: this.#health.of(pod) })),
      gone: this.#gone,
      reached: this.#reached?.traffic ?? [],
      refusal: (process) => view.refusal(this.record.namespace, process),
      activity: this.#waking === 'yes' ? 'waking' : asleep ? 'asleep' : 'awake',
      port: entrance.port,
      lastRequestAt: this.#activity.last,
      notices: this.#notices.all(),
      since: (id, state) => {
        const known = this.#since.get(id);
        if (known?.state === state) return known.at;
        this.#since.set(id, { state, at: now() });
        return now();
      },
    });
  }

  #publish(): void {
    if (this.#abort.signal.aborted) return;
    const status = this.#status();
    const text = JSON.stringify(status);
    if (text === this.#published) return;
    this.#published = text;
    this.#gone = [];
    this.#around.publish({ kind: 'status', status });
    for (const listener of this.#listeners) listener();
  }
}

/** Keys of every object that a plan will need. @throws {SlipwayError} `mistake` when it can't be rendered. */
export function plannedKeys(around: Pick<Surroundings, 'render'>, plan: Plan, namespace: string | null): string[] {
  return plannedObjects(around, plan, namespace).map((object) => desired(object).key);
}

/** Every object that a plan will need, as it is when the plan has become true. @throws {SlipwayError} `mistake` when it can't be rendered. */
export function plannedObjects(
  around: Pick<Surroundings, 'render'>,
  plan: Plan,
  namespace: string | null,
): KubernetesObject[] {
  const all: Decision = {
    traffic: plan.releases
      .filter(({ weight }) => weight > 0)
      .map(({ number, weight }) => ({ release: number, weight })),
    releases: plan.releases,
    held: new Set(),
  };
  const record: EnvironmentRecord = {
    plan,
    kept: [],
    traffic: [],
    activity: 'awake',
    fate: 'held',
    namespace: namespace ?? ownerOf(plan.environment).namespace,
    inventory: [],
  };
  return objectsOf(record, all, { ...around.render(plan.environment), probe: '' }).objects;
}

/**
 * The record after a plan was accepted; null when it is the plan that is held.
 *
 * @param before null: the environment is new.
 * @throws {SlipwayError} `conflict` when a newer generation is held, or another plan of the same.
 */
export function nextRecord(
  plan: Plan,
  before: EnvironmentRecord | null,
  keys: readonly string[],
): EnvironmentRecord | null {
  const held = before === null || before.fate === 'removing' ? null : before;
  if (held !== null && plan.generation < held.plan.generation)
    throw new SlipwayError(
      'conflict',
      `${plan.environment} holds the plan ${held.plan.generation}, which is newer than ${plan.generation}`,
    );
  if (held !== null && plan.generation === held.plan.generation) {
    if (isDeepStrictEqual(plan, held.plan)) return null;
    throw new SlipwayError('conflict', `${plan.environment} holds another plan ${plan.generation} already`);
  }
  const numbers = new Set(held?.plan.releases.map(({ number }) => number));
  const wakes =
    plan.tasks === 'waiting' || plan.sleepSeconds === null || plan.releases.some(({ number }) => !numbers.has(number));
  const serving = new Set([...(held?.kept ?? []), ...(held?.plan.releases ?? [])].map(({ number }) => number));
  return {
    plan,
    kept: keptReleases(plan, held),
    traffic: (held?.traffic ?? []).filter(({ release }) => serving.has(release)),
    activity: wakes ? 'awake' : (held?.activity ?? 'awake'),
    fate: 'held',
    namespace: held?.namespace ?? ownerOf(plan.environment).namespace,
    inventory: [...new Set([...(before?.inventory ?? []), ...keys])].sort(),
  };
}

function successor(environment: string, taken: ReadonlySet<string>): string {
  const parts = environment.split('/');
  for (let count = 2; ; count += 1) {
    const name = labelOf([...parts, `n${count}`]);
    if (!taken.has(name)) return name;
  }
}

export { checkPlan };
