import { Counter, Gauge, Histogram, register as standard, type Registry } from 'prom-client';
import type { AttemptEnd, QueueEvent } from '../events.ts';
import type { Queue } from '../queue.ts';
import type { Backlog } from '../statements/backlog.ts';
import { endedBy } from '../statements/bury.ts';
import type { TallyRow } from '../statements/tally.ts';

export interface MetricsOptions {
  /** Where the metrics are registered. Default: prom-client's global registry. Two queues need two. */
  register?: Registry;
}

export interface QueueMetrics {
  register: Registry;
  /** Unregisters them, and listens to the queue no more. */
  stop: () => void;
}

const PREFIX = 'slipway_queue_';

type Column = Exclude<keyof TallyRow, 'kind' | 'lane'>;

/** How attempts ended: the value of the label `cause`, and where it is counted. */
const causes = {
  done: 'done',
  error: 'errors',
  oom: 'ooms',
  timeout: 'timeouts',
  crash: 'crashes',
  lost: 'lost',
  interrupted: 'interrupted',
  snoozed: 'snoozed',
} as const satisfies Record<string, Column>;

const totals: { column: Column; name: string; help: string }[] = [
  { column: 'enqueued', name: 'tasks_enqueued_total', help: 'Tasks that were added' },
  { column: 'dead', name: 'tasks_dead_total', help: 'Tasks that went to the dead letters' },
  { column: 'escalated', name: 'tasks_escalated_total', help: 'Tasks that went to the lane fallback' },
  { column: 'cancelled', name: 'tasks_cancelled_total', help: 'Tasks that were cancelled' },
  { column: 'busy_seconds', name: 'busy_seconds_total', help: 'Time that attempts took' },
  { column: 'waited_seconds', name: 'waited_seconds_total', help: 'Time that tasks were ready before their attempts' },
];

const gauges: { of: (line: Backlog) => number; name: string; help: string }[] = [
  { of: ({ ready }) => ready, name: 'ready', help: 'Tasks that may be claimed; of more than 10000 an estimate' },
  { of: ({ dueSoon }) => dueSoon, name: 'due_soon', help: 'Scheduled tasks that are due within a minute' },
  { of: ({ running }) => running, name: 'running', help: 'Tasks that are worked on' },
  {
    of: ({ oldestSeconds }) => oldestSeconds ?? 0,
    name: 'oldest_seconds',
    help: 'How long the oldest ready task has waited',
  },
];

/** Seconds: from what is hardly work to what takes hours. */
const buckets = [0.005, 0.02, 0.1, 0.5, 2, 10, 30, 120, 600, 3600];

/**
 * Offers a queue's figures to Prometheus. Counters and gauges are of the whole queue and read from PostgreSQL when they are scraped, by a few
 * cheap statements; every process shows the same, so take their `max`, not their `sum`. Histograms are of the attempts in this process.
 *
 * ```ts
 * const { register } = queueMetrics(queue);
 * http.createServer(async (_, response) => response.end(await register.metrics())).listen(9090);
 * ```
 *
 * A scrape while PostgreSQL can't be reached does not fail: `slipway_queue_up` is 0 then, and counters and gauges are left out.
 *
 * @throws {Error} when the registry has metrics of these names.
 */
export function queueMetrics(queue: Queue, options: MetricsOptions = {}): QueueMetrics {
  const register = options.register ?? standard;
  const read = once(() => readAll(queue));
  const attempt = attemptSeconds();
  const wait = waitSeconds();
  const metrics = [up(read), attempts(read), ...totals.map((total) => totalOf(total, read))];
  const all = [...metrics, ...gauges.map((gauge) => gaugeOf(gauge, read)), attempt, wait];
  for (const metric of all) register.registerMetric(metric);
  const stopListening = queue.onEvent((event) => {
    const ended = endOf(event);
    if (ended === null) return;
    const { kind, lane } = ended.attempt;
    attempt.observe({ kind, lane, cause: ended.cause }, ended.attempt.seconds);
    wait.observe({ kind, lane }, ended.attempt.waitedSeconds);
  });
  return {
    register,
    stop: () => {
      stopListening();
      for (const { name } of register.getMetricsAsArray())
        if (name.startsWith(PREFIX)) register.removeSingleMetric(name);
    },
  };
}

type Read = () => Promise<Reading | null>;

function up(read: Read): Gauge {
  return new Gauge({
    ...named('up', 'Whether PostgreSQL answered this scrape'),
    async collect() {
      this.set((await read()) === null ? 0 : 1);
    },
  });
}

function attempts(read: Read): Counter<'kind' | 'lane' | 'cause'> {
  return new Counter({
    ...named('attempts_total', 'Attempts that ended, by cause'),
    labelNames: ['kind', 'lane', 'cause'],
    async collect() {
      this.reset();
      const { tally } = (await read()) ?? nothing;
      for (const row of tally) {
        const { kind, lane } = row;
        for (const [cause, column] of Object.entries(causes)) this.inc({ kind, lane, cause }, row[column]);
      }
    },
  });
}

function totalOf({ column, name, help }: (typeof totals)[number], read: Read): Counter<'kind' | 'lane'> {
  return new Counter({
    ...named(name, help),
    labelNames: ['kind', 'lane'],
    async collect() {
      this.reset();
      const { tally } = (await read()) ?? nothing;
      for (const row of tally) this.inc({ kind: row.kind, lane: row.lane }, row[column]);
    },
  });
}

function gaugeOf({ of, name, help }: (typeof gauges)[number], read: Read): Gauge<'kind' | 'lane'> {
  return new Gauge({
    ...named(name, help),
    labelNames: ['kind', 'lane'],
    async collect() {
      this.reset();
      const { tally, backlog } = (await read()) ?? nothing;
      for (const { kind, lane } of tally) this.set({ kind, lane }, 0);
      for (const line of backlog) this.set({ kind: line.kind, lane: line.lane }, of(line));
    },
  });
}

function attemptSeconds(): Histogram<'kind' | 'lane' | 'cause'> {
  return new Histogram({
    ...named('attempt_seconds', 'How long attempts in this process took'),
    labelNames: ['kind', 'lane', 'cause'],
    buckets,
  });
}

function waitSeconds(): Histogram<'kind' | 'lane'> {
  return new Histogram({
    ...named('wait_seconds', 'How long tasks were ready before they were begun in this process'),
    labelNames: ['kind', 'lane'],
    buckets,
  });
}

/** Registered by `queueMetrics` alone, not by being made. */
function named(name: string, help: string): { name: string; help: string; registers: [] } {
  return { name: `${PREFIX}${name}`, help, registers: [] };
}

const nothing: Reading = { tally: [], backlog: [] };

interface Reading {
  tally: TallyRow[];
  backlog: Backlog[];
}

async function readAll(queue: Queue): Promise<Reading> {
  const [tally, backlog] = await Promise.all([queue.tally(), queue.backlog()]);
  return { tally, backlog };
}

/** All metrics of one scrape share one reading; null when there is none to be had. */
function once<T>(read: () => Promise<T>): () => Promise<T | null> {
  let reading: Promise<T | null> | null = null;
  return () => {
    reading ??= read()
      .catch(() => null)
      .finally(() => (reading = null));
    return reading;
  };
}

/** An attempt whose end counts, and its cause. What came too late counts where the task runs, or ran, again. */
function endOf(event: QueueEvent): { attempt: AttemptEnd; cause: string } | null {
  switch (event.event) {
    case 'done':
    case 'interrupted':
    case 'snoozed':
      return { attempt: event, cause: event.event };
    case 'retry':
    case 'escalated':
      return { attempt: event, cause: event.cause };
    case 'dead':
      return { attempt: event, cause: endedBy[event.cause] };
    default:
      return null;
  }
}
