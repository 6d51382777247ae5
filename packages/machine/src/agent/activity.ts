import { SlipwayError } from '@slipway/app';
import type { EnvironmentStatus, Plan } from '@slipway/engine';
import type { Host } from './host.ts';
import type { Instance } from './instance.ts';
import type { SleepTimer } from './sleep.ts';

type State = EnvironmentStatus['activity'];

/** Longest time, in milliseconds, until an environment that could not sleep when it should is looked at again. */
const lookAgainWithin = 60_000;

/** What decides about sleep. */
export interface ActivityFacts {
  instances(): readonly Instance[];
  /** Milliseconds since 1970. */
  lastRequestAt(): number | null;
}

/**
 * Whether the processes of one environment should run.
 *
 * `#become` is the only writer of the state:
 *
 * | from | to | when |
 * | --- | --- | --- |
 * | awake  | asleep | no request came for `sleepSeconds`, none is in flight, and nothing is starting |
 * | asleep | waking | `wake`: a request came |
 * | asleep | awake  | a plan brings a release, which must prove itself, has tasks to do, or does not allow sleep any more |
 * | waking | awake  | requests can be served, or a process does not start |
 */
export class Activity {
  readonly #name: string;
  readonly #host: Host;
  readonly #timer: SleepTimer;
  readonly #facts: ActivityFacts;
  #state: State = 'awake';
  #awakeSince: number;
  /** Milliseconds without a request after which it sleeps; null: it does not. */
  #sleepAfter: number | null = null;
  #tasks: Plan['tasks'] = 'none';
  #waking: PromiseWithResolvers<void> | null = null;
  #stopped = false;

  constructor(name: string, host: Host, timer: SleepTimer, facts: ActivityFacts) {
    this.#name = name;
    this.#host = host;
    this.#timer = timer;
    this.#facts = facts;
    this.#awakeSince = host.clock.now();
  }

  get state(): State {
    return this.#state;
  }

  // The only writer of the state.
  #become(state: State): void {
    this.#state = state;
    if (state !== 'asleep') this.#awakeSince = this.#host.clock.now();
    this.#schedule();
  }

  /** Goes on after a restart of the agent. */
  restore(plan: Plan, state: 'awake' | 'asleep'): void {
    this.#tasks = plan.tasks;
    this.#sleepAfter = sleepAfter(plan);
    this.#state = state;
    this.#schedule();
  }

  /** A plan was accepted. `brings`: it names a release that the one before did not. */
  follow(plan: Plan, brings: boolean): void {
    const tasksEnded = this.#tasks === 'waiting' && plan.tasks === 'none';
    this.#tasks = plan.tasks;
    this.#sleepAfter = sleepAfter(plan);
    if (this.#state === 'asleep' && (brings || plan.sleepSeconds === null || plan.tasks === 'waiting'))
      this.#become('awake');
    if (brings || tasksEnded) this.#awakeSince = this.#host.clock.now();
    this.#schedule();
  }

  /** Idle time counts from when requests could come, not from when the processes began to start. */
  trafficMoved(): void {
    this.#awakeSince = this.#host.clock.now();
  }

  /** A request came. Resolves when requests can be served. @throws {SlipwayError} `transient` when a process fails to start. */
  async wake(): Promise<void> {
    if (this.#state === 'awake') return;
    if (this.#stopped) throw this.#stopping();
    if (this.#state === 'asleep') {
      this.#waking = Promise.withResolvers<void>();
      this.#become('waking');
    }
    await this.#waking?.promise;
  }

  /** While waking: looks whether that is over. Its answer tells those who wait; before it is called, the router must know where requests go. */
  settle(able: boolean): (() => void) | null {
    const failing = this.#facts.instances().find((instance) => instance.state === 'failing');
    if (this.#state !== 'waking' || (!able && failing === undefined)) return null;
    this.#become('awake');
    const waking = this.#waking;
    this.#waking = null;
    if (able) return () => waking?.resolve();
    const message = `${this.#name} was asleep and could not be woken: ${failing?.spec.process.name} does not start (${failing?.record.failure?.code}). It is tried again by itself. "slipway why ${this.#name}" tells more.`;
    return () => waking?.reject(new SlipwayError('transient', message));
  }

  /** The timer fired. True: it sleeps from now on; else it is known when to look again. */
  sleepIfIdle(): boolean {
    if (this.#sleepAfter === null || this.#state !== 'awake' || this.#stopped) return false;
    const now = this.#host.clock.now();
    const starting = this.#facts.instances().some((one) => one.state === 'pending' || one.state === 'starting');
    if (starting || this.#host.routes.inFlight(this.#name) > 0) {
      this.#timer.schedule(this.#name, now + Math.min(this.#sleepAfter, lookAgainWithin));
      return false;
    }
    if (now < this.#idleSince() + this.#sleepAfter) {
      this.#schedule();
      return false;
    }
    this.#become('asleep');
    return true;
  }

  #idleSince(): number {
    return Math.max(this.#awakeSince, this.#facts.lastRequestAt() ?? 0);
  }

  #schedule(): void {
    if (this.#sleepAfter === null || this.#state === 'asleep' || this.#stopped) this.#timer.forget(this.#name);
    else this.#timer.schedule(this.#name, this.#idleSince() + this.#sleepAfter);
  }

  /** Sleeps no more, and keeps nobody waiting. */
  stop(): void {
    this.#stopped = true;
    this.#timer.forget(this.#name);
    this.#waking?.reject(this.#stopping());
    this.#waking = null;
  }

  #stopping(): SlipwayError {
    return new SlipwayError('transient', `${this.#name} is just being stopped. Try again in a moment.`);
  }
}

/** An environment that no request can wake must not sleep; nor one with tasks to do. */
function sleepAfter(plan: Plan): number | null {
  if (plan.tasks === 'waiting') return null;
  const wakeable = plan.releases.some((release) => release.services.some((service) => service.route !== null));
  return plan.sleepSeconds === null || !wakeable ? null : plan.sleepSeconds * 1000;
}
