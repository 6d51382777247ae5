import { waitFor } from '@slipway/testing';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { type QueueEvent, taskKind } from './index.ts';
import { queuesUnderTest } from './queue-under-test.ts';

/** Tasks that are at fault themselves: by their payload, or by what their handler returns. Their neighbours never notice. */

const fields = { name: 'note', retries: 5, backoff: () => 0, keepSeconds: 60 };
const note = taskKind({ ...fields, payload: z.object({ n: z.number() }) });
/** The same as an older or foreign producer would have it. */
const foreign = taskKind({ ...fields, payload: z.unknown() });

async function setup() {
  const { pool, queue, events } = await queuesUnderTest({ leaseSeconds: 1 });
  const idle = () =>
    waitFor(async () => (await pool.query('select from slipway_queue.task')).rowCount === 0, {
      what: 'every task to be done or dead',
    });
  const of = (name: QueueEvent['event']) => events.filter(({ event }) => event === name);
  return { pool, queue, of, idle };
}

test('payloads that do not match are dead at once with the error, and use up no retry', async () => {
  const { queue, of, idle } = await setup();
  const payloads: unknown[] = [
    {},
    { n: '1' },
    { n: '\0' },
    { '\0': 1 },
    { n: '\ud800' },
    { n: 'x'.repeat(1_000_000) },
    'no object',
    null,
  ];
  const seen: number[] = [];
  queue.work(note, async ({ n }) => void seen.push(n));
  const ids: string[] = [];
  for (const [n, payload] of payloads.entries()) {
    ids.push(await queue.enqueue(foreign, payload));
    await queue.enqueue(note, { n });
  }
  await queue.start();
  await idle();
  expect(seen.toSorted((a, b) => a - b)).toEqual([...payloads.keys()]);
  const dead = await queue.dead({ limit: 100 });
  expect(dead.map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
  for (const one of dead) {
    expect(one).toMatchObject({ cause: 'invalid-payload', attempts: 1, failures: 0, crashes: 0, losses: 0 });
    expect(one.error).toMatch(/expected (number|object)/);
  }
  expect(of('retry')).toEqual([]);
  // They can be made ready again like any other.
  for (const id of ids) await queue.redrive(id);
  await idle();
  expect(await queue.dead({ limit: 100 })).toHaveLength(ids.length);
});

test('what JSON can say and PostgreSQL finds hard comes through whole', async () => {
  const { queue, of, idle } = await setup();
  const payloads = ['a\0b', '\ud800', 'x'.repeat(1_000_000), [[['deep']]], { '\0': '\0' }];
  const seen: unknown[] = [];
  queue.work(foreign, async (payload) => {
    seen.push(payload);
    return payload;
  });
  await queue.start();
  for (const payload of payloads) await queue.enqueue(foreign, payload);
  await idle();
  expect(seen).toHaveLength(payloads.length);
  expect(seen).toEqual(expect.arrayContaining(payloads));
  expect(of('done')).toHaveLength(payloads.length);
});

const circular: Record<string, unknown> = {};
circular['self'] = circular;

test.for<[string, unknown]>([
  ['a BigInt', 1n],
  ['a circle', circular],
])('a result that is %s is an error of the attempt', async ([, result]) => {
  const { queue, of, idle } = await setup();
  const kept = taskKind({ ...fields, name: 'kept', payload: z.null(), retries: 1 });
  const dropped = taskKind({ ...fields, name: 'dropped', payload: z.null(), keepSeconds: 0 });
  queue.work(kept, async () => result);
  queue.work(dropped, async () => result);
  await queue.start();
  await queue.enqueue(kept, null);
  await queue.enqueue(dropped, null);
  await idle();
  const dead = await queue.dead({ limit: 2 });
  expect(dead).toMatchObject([{ kind: 'kept', cause: 'retries-used', attempts: 2, crashes: 0 }]);
  expect(dead[0]?.error).toMatch(/^the result of the handler is not JSON: /);
  // Where nothing is kept, nobody looks at it.
  expect(of('done')).toMatchObject([{ kind: 'dropped' }]);
});

test('a result that PostgreSQL refuses goes back as after a crash, and takes none of its batch along', async () => {
  const { queue, of, idle } = await setup();
  const fussy = taskKind({ ...fields, payload: z.object({ n: z.number() }), losses: 1 });
  let deep: unknown = 0;
  for (let depth = 0; depth < 100_000; depth++) deep = [deep]; // PostgreSQL's parser ends before that
  const all = Promise.withResolvers<void>();
  let begun = 0;
  queue.work(
    fussy,
    async ({ n }) => {
      begun += 1;
      if (begun === 20) all.resolve();
      await all.promise;
      return n === 7 ? deep : n;
    },
    { concurrency: 20 },
  );
  await queue.start();
  await queue.enqueueMany(
    fussy,
    Array.from({ length: 20 }, (_, n) => ({ payload: { n } })),
  );
  await idle();
  expect(of('done')).toHaveLength(19);
  expect(of('failed')).toMatchObject([
    { error: expect.stringMatching(/^its end \(done\) could not be written: .*stack depth/) },
  ]);
  const dead = await queue.dead({ limit: 2 });
  expect(dead).toMatchObject([{ payload: { n: 7 }, cause: 'crashed', attempts: 1 }]);
});

test('a task whose end can not be written at all comes back when it can', async () => {
  const { pool, queue, of, idle } = await setup();
  let runs = 0;
  queue.work(note, async () => void (runs += 1));
  await queue.start();
  await pool.query(`
    create function refuse() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$;
    create trigger refuse before update or delete on slipway_queue.task for each row when (old.state = 'running') execute function refuse()`);
  await queue.enqueue(note, { n: 1 });
  await waitFor(() => of('failed').length > 0, { what: 'the refusal to be told' });
  await pool.query('drop trigger refuse on slipway_queue.task');
  await idle();
  expect(runs).toBe(2);
  expect(of('done')).toHaveLength(1);
});
