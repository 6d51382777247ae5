import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { describeError } from '../connection-errors.ts';
import type { QueueEvent } from '../events.ts';
import type { EndedAttempt, Source, SourceListener, Wanted } from '../source.ts';
import type { Claimed } from '../statements/claimed.ts';
import { within } from '../within.ts';
import { type ApiClient, ApiRefused } from './api-client.ts';
import { EndSender } from './end-sender.ts';
import * as schemas from './schemas.ts';
import type { SlotShare } from './slot-share.ts';

/** Seconds that a claim which finds nothing stays open. */
const WAIT = 25;
/** Seconds that an answer may take beside that. */
const PATIENCE = 10;
/** So long after a claim that left no slot free the worker is taken to be full for a while. */
const FULL_AFTER_MS = 50;
/** Pause after a claim that waited in vain, because the server refused it. */
const REFUSED_PAUSE_MS = 5_000;
const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 5_000;
const PROGRESS_MS = 1_000;

export interface RemoteSourceOptions {
  client: ApiClient;
  emit: (event: QueueEvent) => void;
  slots: SlotShare;
}

/**
 * Tasks over HTTP. What wakes the worker: a claim that waits at the server for something to be there. It ends by itself when another
 * one is sent, so that slots that became free meanwhile are asked for as well. A worker whose slots are all busy has one there
 * too, for no task, so that it hears at once when one of its own is cancelled, and so has one that waits for slots to be given to it; one that
 * runs nothing and wants nothing has none.
 *
 * | state | meaning | leaves it by |
 * | --- | --- | --- |
 * | closed | before `start`, after `stop`, or the server does not answer: a heartbeat is tried again and again | an answer -> open |
 * | open   | the last request was answered | an unanswered one -> closed |
 */
export class RemoteSource implements Source {
  readonly #options: RemoteSourceOptions;
  readonly #client: ApiClient;
  readonly #ends: EndSender;
  #listener: SourceListener | null = null;
  #workerId = '';
  #leaseSeconds = 15;
  #state: 'open' | 'closed' = 'closed';
  #beats: NodeJS.Timeout | undefined;
  #beating: Promise<void> | null = null;
  #soon: NodeJS.Timeout | undefined;
  /** The claim that waits at the server. */
  #waiting: Promise<void> | null = null;
  /** What ends it from here. */
  #unwait = new AbortController();
  /** Claims that don't wait and are under way. */
  #claims = 0;
  #full: NodeJS.Timeout | undefined;
  /** Running tasks of which the worker knows that they were cancelled. */
  #cancelled = new Set<string>();
  #over = new AbortController();
  /** Claimed for the worker while nobody asked. */
  #arrived: Claimed[] = [];
  #slotNews = 0;
  /** Until when (monotonic) the answer to a claim may have got lost, with tasks in it. */
  #doubtUntil = 0;
  readonly #progress = new Map<string, { lease: string; value: unknown }>();
  #progressTimer: NodeJS.Timeout | undefined;

  constructor(options: RemoteSourceOptions) {
    this.#options = options;
    this.#client = options.client;
    this.#ends = new EndSender(options.client, (error) => this.#unanswered(error));
  }

  get state(): 'open' | 'closed' {
    return this.#state;
  }

  get workerId(): string {
    return this.#workerId;
  }

  async start(listener: SourceListener): Promise<void> {
    this.#over = new AbortController();
    this.#ends.reopen();
    await this.#register();
    this.#listener = listener;
    this.#opened();
    this.#beats = setInterval(() => void this.#beat(), (this.#leaseSeconds * 1_000) / 3);
    // Its answer says how many tasks are to run at once.
    void this.#beat();
  }

  async stop(): Promise<void> {
    this.#listener = null;
    clearInterval(this.#beats);
    clearTimeout(this.#soon);
    clearTimeout(this.#progressTimer);
    clearTimeout(this.#full);
    this.#progress.clear();
    this.#over.abort();
    this.#ends.giveUp();
    await this.#waiting;
    const leave = this.#post('leave', {}, z.object({}), { seconds: 2 });
    await leave.catch(() => undefined); // then the lease runs out
    this.#state = 'closed';
  }

  async claim(wanted: readonly Wanted[]): Promise<Claimed[]> {
    this.#claims += 1;
    try {
      return await this.#claimOrWait(wanted);
    } finally {
      this.#claims -= 1;
      this.#waitWhenFull(FULL_AFTER_MS);
    }
  }

  async #claimOrWait(wanted: readonly Wanted[]): Promise<Claimed[]> {
    const arrived = this.#arrived.splice(0);
    if (arrived.length > 0) {
      this.#listener?.onWork(); // there may be more
      return this.#asWanted(arrived, wanted);
    }
    const earlier = this.#waiting;
    const claimed = await this.#claim(wanted, 0, this.#over.signal);
    // It ends by this claim, unless another server has it.
    if (earlier !== null) await within(1, earlier);
    if (earlier !== null && earlier === this.#waiting) {
      this.#unwait.abort(); // it may be for other slots than are free now
      await earlier;
    }
    claimed.push(...this.#arrived.splice(0));
    if (claimed.length === 0 && this.#waiting === null) this.#wait(wanted);
    return this.#asWanted(claimed, wanted);
  }

  /** Two claims may have got tasks for the same slots, or one for slots that are taken by now: the rest goes back. */
  #asWanted(claimed: readonly Claimed[], wanted: readonly Wanted[]): Claimed[] {
    const places = new Map(wanted.map(({ kind, lane, limit }) => [`${kind} ${lane}`, limit]));
    const [fit, rest]: [Claimed[], Claimed[]] = [[], []];
    for (const task of claimed) {
      const free = places.get(`${task.kind} ${task.lane}`) ?? 0;
      places.set(`${task.kind} ${task.lane}`, free - 1);
      (free > 0 ? fit : rest).push(task);
    }
    void this.unclaim(rest);
    return fit;
  }

  #wait(wanted: readonly Wanted[]): void {
    if (this.#over.signal.aborted || this.#listener === null) return;
    this.#unwait = new AbortController();
    this.#waiting = this.#claim(wanted, WAIT, AbortSignal.any([this.#over.signal, this.#unwait.signal]))
      .then((claimed) => {
        this.#arrived.push(...claimed);
        return FULL_AFTER_MS;
      })
      .catch((error: unknown) => (error instanceof ApiRefused ? REFUSED_PAUSE_MS : FULL_AFTER_MS)) // the state says it
      .then((pause) => {
        this.#waiting = null;
        this.#waitWhenFull(pause);
        this.#listener?.onWork();
      });
  }

  /** No claim comes while all slots are busy. Not at once, so that short tasks cost no request more. */
  #waitWhenFull(pauseMs: number): void {
    clearTimeout(this.#full);
    this.#full = setTimeout(() => {
      const running = (this.#listener?.running().length ?? 0) > 0;
      const follows = this.#options.slots.held().length > 0;
      if ((running || follows) && this.#claims === 0 && this.#waiting === null && this.#state === 'open')
        this.#wait([]);
    }, pauseMs).unref();
  }

  async #claim(wanted: readonly Wanted[], waitSeconds: number, signal: AbortSignal): Promise<Claimed[]> {
    const asked = wanted.map(({ kind, lane, limit, lastChance = 'one' }) => {
      return { kind, lane, limit: Math.min(limit, 1_000), lastChance };
    });
    const doubt = performance.now() < this.#doubtUntil;
    const running = waitSeconds > 0 ? this.#notCancelled() : [];
    const known = doubt ? this.#known() : null;
    const body = { wanted: asked, waitSeconds, known, running, slotNews: this.#slotNews };
    const under = this.#workerId;
    const options = { seconds: waitSeconds + PATIENCE, signal };
    try {
      const { tasks, cancelled, slotNews } = await this.#post('claim', body, schemas.claimed, options);
      if (slotNews !== this.#slotNews) {
        this.#slotNews = slotNews;
        void this.#beat();
      }
      this.#cancel(cancelled);
      // What was claimed under a lease that was lost meanwhile is taken back with the rest.
      return under === this.#workerId ? tasks : [];
    } catch (error) {
      if (error instanceof ApiRefused && error.status === 409) await this.#beat(); // it tells that the lease is lost
      if (!(error instanceof ApiRefused)) this.#doubtUntil = performance.now() + this.#leaseSeconds * 1_000;
      throw error;
    }
  }

  #known(): string[] {
    return [...(this.#listener?.running() ?? []), ...this.#arrived.map(({ id }) => id)];
  }

  /** Those of which the worker knows already would end the wait again and again. */
  #notCancelled(): string[] {
    const running = new Set(this.#listener?.running());
    this.#cancelled = this.#cancelled.intersection(running);
    return [...running.difference(this.#cancelled)];
  }

  #cancel(taskIds: readonly string[]): void {
    for (const id of taskIds) {
      this.#cancelled.add(id);
      this.#listener?.onCancelled(id);
    }
  }

  async unclaim(tasks: readonly Claimed[]): Promise<void> {
    if (tasks.length === 0) return;
    const held = tasks.map(({ id, lease }) => ({ id, lease }));
    await this.#post('unclaim', { tasks: held }, z.object({})).catch(() => undefined);
  }

  settle(end: EndedAttempt): void {
    const { task, outcome, usage, busySeconds } = end;
    this.#progress.delete(task.id);
    if (this.#options.slots.ended(task.kind, task.lane) === 'fewer') this.#beatSoon();
    const told = { id: task.id, lease: task.lease, outcome, usage, busySeconds };
    void this.#ends.send(this.#workerId, told).then((settled) => end.written(settled));
  }

  progress(task: Claimed, value: unknown): void {
    this.#progress.set(task.id, { lease: task.lease, value });
    this.#progressTimer ??= setTimeout(() => void this.#tellProgress(), PROGRESS_MS).unref();
  }

  async #tellProgress(): Promise<void> {
    this.#progressTimer = undefined;
    const news = [...this.#progress].map(([id, { lease, value }]) => ({ id, lease, value }));
    this.#progress.clear();
    if (news.length > 0) await this.#post('progress', { news }, z.object({})).catch(() => undefined);
  }

  giveUp(): void {
    this.#ends.giveUp();
    this.#over.abort();
  }

  /** No claim waits from now on; what runs goes on. */
  async stopWaiting(): Promise<void> {
    const waiting = this.#waiting;
    clearTimeout(this.#full);
    this.#over.abort();
    await waiting;
    // Takes back what that claim may have got.
    const options = { seconds: 1 };
    const body = { wanted: [], waitSeconds: 0, known: this.#listener?.running() ?? [], running: [] };
    this.#arrived = [];
    await this.#post('claim', body, schemas.claimed, options).catch(() => undefined); // then the lease runs out
  }

  async #register(): Promise<void> {
    const { workerId, leaseSeconds } = await this.#client.call('POST', '/workers', {}, schemas.registered, {
      seconds: PATIENCE,
    });
    this.#workerId = workerId;
    this.#options.slots.lost();
    this.#leaseSeconds = leaseSeconds;
  }

  #beat(): Promise<void> {
    this.#beating ??= this.#beatNow()
      .catch(() => undefined) // tried again: the state says it
      .finally(() => (this.#beating = null));
    return this.#beating;
  }

  /** After one that is on its way, which may not say it yet. */
  #beatSoon(): void {
    clearTimeout(this.#soon);
    this.#soon = setTimeout(() => void (this.#beating ?? Promise.resolve()).then(() => this.#beat()), 0).unref();
  }

  async #beatNow(): Promise<void> {
    if (this.#listener === null) return; // it was stopped, and has left
    const running = this.#listener.running();
    const seconds = Math.max(1, this.#leaseSeconds / 3);
    const { slots } = this.#options;
    const body = { running: [...running], lanes: slots.held() };
    const answer = await this.#post('beat', body, schemas.beaten, { seconds });
    // With news that came while it was answered, the next claim does not wait.
    this.#slotNews = answer.slotNews;
    const change = slots.told(answer.slots);
    if (answer.lease === 'lost') await this.#renounce();
    this.#cancel(answer.cancelled);
    // Others wait for what it gives back; of a new lease nothing is known yet.
    if (change === 'fewer' || answer.lease === 'lost') this.#beatSoon();
    this.#opened();
  }

  /** Others have the tasks; under a new name there may be more of them. */
  async #renounce(): Promise<void> {
    const listener = this.#listener;
    this.#arrived = [];
    if (listener === null) return; // it left while the beat was on its way
    listener.onLost();
    await this.#register();
    listener.onWork();
  }

  #opened(): void {
    if (this.#state === 'open') return;
    this.#state = 'open';
    this.#options.emit({ event: 'connected' });
    this.#waitWhenFull(FULL_AFTER_MS);
    this.#listener?.onWork();
  }

  /** Beats until it is answered. */
  #unanswered(error: unknown): void {
    if (this.#state === 'closed' || this.#listener === null) return;
    this.#state = 'closed';
    this.#options.emit({ event: 'disconnected', error: describeError(error), retryInMs: FIRST_RETRY_MS });
    void this.#reconnect();
  }

  async #reconnect(): Promise<void> {
    for (let pause = FIRST_RETRY_MS; this.#isClosed(); pause = Math.min(pause * 2, LAST_RETRY_MS)) {
      await delay(pause * (0.8 + 0.4 * Math.random()), undefined, { ref: false });
      if (this.#listener === null) return;
      await this.#beat();
    }
  }

  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  async #post<T>(
    what: string,
    body: unknown,
    schema: z.ZodType<T>,
    options: { seconds: number; signal?: AbortSignal } = { seconds: PATIENCE },
  ): Promise<T> {
    try {
      return await this.#client.call('POST', `/workers/${this.#workerId}/${what}`, body, schema, options);
    } catch (error) {
      if (!options.signal?.aborted && !(error instanceof ApiRefused && error.status === 404)) this.#unanswered(error);
      throw error;
    }
  }
}
