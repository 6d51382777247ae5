import { setTimeout as delay } from 'node:timers/promises';
import type { z } from 'zod';
import { describeError } from '../connection-errors.ts';
import type { Settled } from '../finisher.ts';
import { type ApiClient, ApiRefused } from './api-client.ts';
import type { RemoteEnd } from './remote-ends.ts';
import * as schemas from './schemas.ts';

type End = Omit<RemoteEnd, 'certainty'>;

interface Waiting {
  workerId: string;
  end: RemoteEnd;
  resolve: (settled: Settled) => void;
}

const BATCH = 200;
/** Characters, of all results in one request; one alone may have more. */
const MOST_CHARACTERS = 4_000_000;
const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 2_000;
const PATIENCE = 15;

/**
 * Tells the server how attempts ended: together what ended while a request was under way, and again until it is answered. Ends are bounded by
 * the worker, which begins nothing more when too many are not written.
 */
export class EndSender {
  readonly #client: ApiClient;
  readonly #onUnanswered: (error: unknown) => void;
  #waiting: Waiting[] = [];
  #busy: 'yes' | 'no' = 'no';
  #over = new AbortController();

  constructor(client: ApiClient, onUnanswered: (error: unknown) => void) {
    this.#client = client;
    this.#onUnanswered = onUnanswered;
  }

  /** @param workerId To whom the task was leased. Never rejects. */
  send(workerId: string, end: End): Promise<Settled> {
    return new Promise((resolve) => {
      this.#waiting.push({ workerId, end: { ...end, certainty: 'first' }, resolve });
      if (this.#busy === 'no') void this.#sendAll();
    });
  }

  /** What can't be told now is not tried again. */
  giveUp(): void {
    this.#over.abort();
  }

  reopen(): void {
    this.#over = new AbortController();
  }

  async #sendAll(): Promise<void> {
    this.#busy = 'yes';
    for (let batch = this.#next(); batch.length > 0; batch = this.#next()) await this.#sendBatch(batch);
    this.#busy = 'no';
  }

  /** Those of one worker, as many as fit. */
  #next(): Waiting[] {
    const workerId = this.#waiting[0]?.workerId;
    const batch: Waiting[] = [];
    let characters = 0;
    while (batch.length < BATCH && characters < MOST_CHARACTERS && this.#waiting[0]?.workerId === workerId) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      characters += JSON.stringify(next.end).length;
      batch.push(next);
    }
    return batch;
  }

  async #sendBatch(batch: Waiting[]): Promise<void> {
    try {
      const settled = new Map((await this.#untilAnswered(batch)).map((one) => [one.id, one]));
      for (const { end, resolve } of batch) resolve(settledOf(settled.get(end.id)));
    } catch (error) {
      await this.#sendWithout(batch, error);
    }
  }

  /** The server refused the batch: most of it may be fine, and what is not must not stay leased for ever. */
  async #sendWithout(batch: Waiting[], error: unknown): Promise<void> {
    const [only] = batch;
    if (!isAboutContent(error) || only === undefined) {
      for (const { resolve } of batch) resolve({ verdict: 'unknown', error: describeError(error) });
    } else if (batch.length > 1) {
      for (const one of batch) await this.#sendBatch([one]);
    } else if (only.end.outcome.kind === 'done') {
      const said = `Its result can't be kept: ${describeError(error)}`;
      only.end.outcome = { kind: 'dead', cause: 'discarded', error: said };
      await this.#sendBatch(batch);
    } else only.resolve({ verdict: 'unknown', error: describeError(error) });
  }

  /** @throws {ApiRefused} or, when it was given up, {ApiUnreachable}. */
  async #untilAnswered(batch: Waiting[]): Promise<z.output<typeof schemas.settled>['settled']> {
    const path = `/workers/${batch[0]?.workerId}/settle`;
    for (let pause = FIRST_RETRY_MS; ; pause = Math.min(pause * 2, LAST_RETRY_MS)) {
      try {
        const body = { ends: batch.map(({ end }) => end) };
        return (await this.#client.call('POST', path, body, schemas.settled, { seconds: PATIENCE })).settled;
      } catch (error) {
        if (error instanceof ApiRefused || this.#over.signal.aborted) throw error;
        this.#onUnanswered(error);
        for (const { end } of batch) end.certainty = 'repeated';
        const around = pause * (0.8 + 0.4 * Math.random());
        await delay(around, undefined, { signal: this.#over.signal }).catch(() => undefined);
      }
    }
  }
}

function isAboutContent(error: unknown): boolean {
  return error instanceof ApiRefused && (error.status === 400 || error.status === 413);
}

function settledOf(answer: { verdict: Settled['verdict']; error?: string | undefined } | undefined): Settled {
  if (answer === undefined) return { verdict: 'unknown', error: 'the server said nothing about it' };
  return { verdict: answer.verdict, ...(answer.error !== undefined && { error: answer.error }) };
}
