import { inTurns, type Measured, median, progress, round3 } from './measure.ts';
import type { ContenderName } from './queue/contender.ts';
import { choose, enqueueRate, heldRatio, pickups, type Rates, settingOf, throughput } from './queue/scenarios.ts';
import { installPeers, Servers } from './queue/servers.ts';

/**
 * Slipway's queue beside others that a Node process may use: graphile-worker, pg-boss and BullMQ on the same PostgreSQL, BullMQ on Redis. In turns, each in
 * the fastest of the settings around those that it documents, with one worker process, a handler that does nothing, and adding from another process.
 * Counted at the end of each measurement: every task was handled once.
 *
 * PostgreSQL commits to disk (`fsync`, `synchronous_commit`); Redis appends to its file and writes that to disk once a second, as BullMQ's guide asks for.
 *
 * SLIPWAY_BENCH_HELD_SECONDS (600): how long the transaction is held open. SLIPWAY_BENCH_SCALE (1): a part of the number of tasks, to try it out.
 */
const ROUNDS = 3;
const HELD_SECONDS = Number(process.env['SLIPWAY_BENCH_HELD_SECONDS'] ?? 600);
const SCALE = Number(process.env['SLIPWAY_BENCH_SCALE'] ?? 1);

/** Enough to take five seconds or more on a machine with two cores. */
const TASKS: Record<ContenderName, number> = {
  slipway: 1_000_000,
  graphile: 250_000,
  pgboss: 150_000,
  bullmq_postgres: 12_000,
  bullmq_redis: 100_000,
};
const ENQUEUED = 300_000;
const PICKUPS = 220;
const BACKLOG = 1_000_000;
const BEFORE_BACKLOG = 400_000;

const names = Object.keys(TASKS) as ContenderName[];
const postgresPeers = ['graphile', 'pgboss', 'bullmq_postgres'] as const;

export default async function queue(): Promise<Measured> {
  const releasers: (() => Promise<void>)[] = [];
  const release = async () => {
    for (const each of releasers.splice(0).toReversed()) await each();
  };
  const interrupted = () => void release().finally(() => process.exit(130));
  process.once('SIGINT', interrupted);
  process.once('SIGTERM', interrupted);
  try {
    await installPeers();
    const servers = await Servers.start(releasers);
    const scaled = (count: number) => Math.max(1_000, Math.round(count * SCALE));
    const turns = (what: string, measure: (name: ContenderName) => Promise<number>) => {
      progress(what);
      return inTurns(
        ROUNDS,
        mapNames((name) => () => measure(name)),
      );
    };

    progress('settings');
    for (const name of names) await choose(servers, name, scaled(TASKS[name] / 3));
    const rates = await turns('tasks/s, all enqueued before', async (name) => {
      const { done } = await throughput(servers, name, scaled(TASKS[name]));
      return done;
    });
    const added = await turns('enqueued/s, 1,000 a call, 2 connections', (name) =>
      enqueueRate(servers, name, scaled(ENQUEUED)),
    );
    const p99 = mapNames((): number[] => []);
    const p50 = await turns('pickup in ms, p50', async (name) => {
      const sorted = await pickups(servers, name, PICKUPS);
      p99[name].push(quantile(sorted, 0.99));
      return quantile(sorted, 0.5);
    });
    const backlog = await backlogRatio(servers, scaled(BEFORE_BACKLOG), scaled(BACKLOG));

    const heldPeerSeconds = Math.max(10, HELD_SECONDS / 10);
    progress(`a transaction held open for ${HELD_SECONDS} s (graphile: ${heldPeerSeconds} s)`);
    const heldPeer = await heldRatio(servers, 'graphile', heldPeerSeconds);
    const held = await heldRatio(servers, 'slipway', HELD_SECONDS);

    const best = (round: number) => Math.max(...postgresPeers.map((name) => rates[name][round] ?? Number.NaN));
    const ratios = (peer: (round: number) => number) => rates.slipway.map((rate, round) => rate / peer(round));
    return {
      figures: {
        ratio_to_best_postgres_peer: round3(median(ratios(best))),
        ratio_to_bullmq_redis: round3(median(ratios((round) => rates.bullmq_redis[round] ?? Number.NaN))),
        enqueue_per_s: round3(median(added.slipway)),
        pickup_p50_ms: round3(median(p50.slipway)),
        backlog_ratio: round3(backlog),
        held_transaction_ratio: round3(held),
      },
      peers: {
        ...each('tasks_per_s', rates),
        ...each('enqueue_per_s', added),
        ...each('pickup_p50_ms', p50),
        ...each('pickup_p99_ms', p99),
        ...settings(),
        graphile_held_transaction_ratio: round3(heldPeer),
        graphile_held_seconds: heldPeerSeconds,
        held_seconds: HELD_SECONDS,
      },
    };
  } finally {
    process.off('SIGINT', interrupted);
    process.off('SIGTERM', interrupted);
    await release();
  }
}

/** The rate with 1,000,000 tasks waiting behind, beside that on a queue with nothing else in it. */
async function backlogRatio(servers: Servers, count: number, backlog: number): Promise<number> {
  progress(`tasks/s with ${backlog} waiting`);
  const handled = async (behind: number) => {
    const rates: Rates = await throughput(servers, 'slipway', count, behind);
    return rates.handled;
  };
  const { empty, full } = await inTurns(ROUNDS, { empty: () => handled(0), full: () => handled(backlog) });
  return median(full.map((rate, round) => rate / (empty[round] ?? Number.NaN)));
}

function mapNames<T>(make: (name: ContenderName) => T): Record<ContenderName, T> {
  return Object.fromEntries(names.map((name) => [name, make(name)])) as Record<ContenderName, T>;
}

function each(key: string, values: Record<ContenderName, number[]>): Record<string, number> {
  return Object.fromEntries(names.map((name) => [`${name}_${key}`, round3(median(values[name]))]));
}

/** What each was run with. */
function settings(): Record<string, number> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const { ahead, atOnce } = settingOf(name);
      return [
        [`${name}_at_once`, atOnce] as const,
        ...(ahead === undefined ? [] : [[`${name}_ahead`, ahead] as const]),
      ];
    }),
  );
}

function quantile(sorted: number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}
