import type { Rate } from '../rate.ts';
import type { Database, Names } from './names.ts';

/**
 * Parts of statements that let starts through by the generic cell rate algorithm (ITU-T I.371): `tat`, the theoretical arrival time, moves on by
 * one interval with each start, and may be at most `burst` intervals ahead of now. So in any time `w` at most `burst + w / interval` start.
 *
 * A `tat` further ahead is from a slower rate that was changed since, or from before the clock was set back: it counts as one
 * that lets a single task through.
 *
 * @param interval Seconds from one start to the next; a parameter of type float8, like `burst`.
 */
export function rateOf(interval: string, burst: string) {
  const seconds = (number: string) => `(${number}) * ${interval} * interval '1 second'`;
  const from = (tat: string, now: string) =>
    `case when ${tat} > ${now} + ${seconds(burst)} + interval '1 millisecond' then ${now} + ${seconds(`${burst} - 1`)} else greatest(${tat}, ${now}) end`;
  // A thousandth of a token, for what is lost where times are rounded to microseconds.
  const tokens = (tat: string, now: string) =>
    `greatest(0, floor(extract(epoch from ${now} + ${seconds(burst)} - (${from(tat, now)})) / ${interval} + 0.001))::int`;
  return {
    /** How many may start now. `tat` may be null. */
    tokens,
    /** Milliseconds until one may start; 0: now. */
    dueInMs: (tat: string, now: string) =>
      `greatest(0, ceil(extract(epoch from (${from(tat, now)}) - ${now} - ${seconds(`${burst} - 0.9995`)}) * 1000))::float8`,
    /** The `tat` after so many starts. */
    spend: (tat: string, now: string, number: string) => `(${from(tat, now)}) + ${seconds(number)}`,
  };
}

export interface Reservation {
  kind: string;
  rate: Rate;
  wanted: number;
}

export interface Granted {
  kind: string;
  number: number;
  /** Milliseconds until the next one may start. */
  nextInMs: number;
}

/**
 * Reserves starts, by PostgreSQL's clock: of each kind as many of those wanted as its rate allows now, over all processes. The time is read
 * after the row is locked, so that every reservation sees the one before it. Each kind at most once.
 */
export async function reserveStarts(
  db: Database,
  names: Names,
  reservations: readonly Reservation[],
): Promise<Granted[]> {
  const { tokens, dueInMs, spend } = rateOf('asked.interval', 'asked.burst');
  const asked = `unnest($1::text[], $2::float8[], $3::float8[], $4::int[]) as asked (name, interval, burst, wanted)`;
  const grant = (tat: string) => `select asked.name, ${spend(tat, 'now', 'number')} as tat, number
    from ${asked} cross join lateral (select clock_timestamp() as now offset 0) as clock
    cross join lateral (select least(asked.wanted, ${tokens(tat, 'clock.now')}) as number offset 0) as granted`;
  const { rows } = await db.query(
    `insert into ${names.rate} as rate (name, tat, granted) ${grant('null::timestamptz')} order by asked.name
     on conflict (name) do update set (tat, granted) = (
       select tat, number from (${grant('rate.tat')}) as granted where granted.name = excluded.name
     )
     returning name, granted, (select ${dueInMs('rate.tat', 'clock_timestamp()')} from ${asked} where asked.name = rate.name) as due`,
    [
      reservations.map(({ kind }) => kind),
      reservations.map(({ rate }) => rate.seconds / rate.limit),
      reservations.map(({ rate }) => rate.burst),
      reservations.map(({ wanted }) => wanted),
    ],
  );
  return rows.map((row) => ({
    kind: String(row['name']),
    number: Number(row['granted']),
    nextInMs: Number(row['due']),
  }));
}

/** Gives back starts that were reserved and not made. */
export async function returnStarts(
  db: Database,
  names: Names,
  unused: readonly { kind: string; rate: Rate; number: number }[],
): Promise<void> {
  await db.query(
    `update ${names.rate} as rate set tat = rate.tat - unused.seconds * interval '1 second'
     from unnest($1::text[], $2::float8[]) as unused (name, seconds) where rate.name = unused.name`,
    [unused.map(({ kind }) => kind), unused.map(({ rate, number }) => (number * rate.seconds) / rate.limit)],
  );
}
