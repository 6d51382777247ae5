import { once } from 'node:events';
import { type ContenderName, payloadOf, type Producer, type Setting, sharedNow } from './contender.ts';
import { contenders } from './contenders.ts';
import { type Handled, Tally } from './tally.ts';

/**
 * One contender in one role, in a process of its own: `child.ts CONTENDER ROLE SERVER`. Its parent tells it what to do by message and gets an answer to each.
 * It ends with its parent.
 */
export type Role = 'producer' | 'worker';

export type Order =
  /** Adds tasks number `from` and following. @returns seconds */
  | { do: 'add-many'; from: number; count: number; perCall: number; connections: number }
  /** Adds tasks one by one, each after a pause of 10 to 50 ms. */
  | { do: 'add-singly'; from: number; count: number }
  | { do: 'prepare' }
  | { do: 'left' }
  | { do: 'work'; setting: Setting }
  /** Waits until so many tasks were handled. */
  | { do: 'handled'; count: number }
  | { do: 'stop-working' };

export interface Answers {
  'add-many': { seconds: number };
  'add-singly': null;
  prepare: null;
  left: number;
  work: null;
  handled: Handled;
  'stop-working': Handled;
}

if (import.meta.main) {
  const [name = '', , server = ''] = process.argv.slice(2);
  const contender = contenders[name as ContenderName];
  const producers: Producer[] = [];
  const tally = new Tally();
  let stop: () => Promise<void> = async () => undefined;

  const addMany = async (order: Order & { do: 'add-many' }) => {
    while (producers.length < order.connections) producers.push(await contender.produce(server));
    const began = sharedNow();
    let next = order.from;
    const end = order.from + order.count;
    await Promise.all(
      producers.slice(0, order.connections).map(async (producer) => {
        while (next < end) {
          const from = next;
          next = Math.min(end, next + order.perCall);
          await producer.addMany(Array.from({ length: next - from }, (_, index) => payloadOf(from + index)));
        }
      }),
    );
    return { seconds: (sharedNow() - began) / 1_000 };
  };

  const addSingly = async ({ from, count }: Order & { do: 'add-singly' }) => {
    const producer = (producers[0] ??= await contender.produce(server));
    for (let n = from; n < from + count; n += 1) {
      await new Promise((resolve) => setTimeout(resolve, 10 + 40 * Math.random()));
      await producer.add(payloadOf(n));
    }
    return null;
  };

  const carryOut = async (order: Order): Promise<unknown> => {
    switch (order.do) {
      case 'prepare':
        await contender.prepare(server);
        return null;
      case 'left':
        return contender.left(server);
      case 'add-many':
        return addMany(order);
      case 'add-singly':
        return addSingly(order);
      case 'work':
        stop = await contender.work(server, (payload) => tally.add(payload), order.setting);
        return null;
      case 'handled':
        await tally.reached(order.count);
        return tally.read();
      case 'stop-working':
        await stop();
        stop = async () => undefined;
        return tally.read();
    }
  };

  process.on('message', ({ id, order }: { id: number; order: Order }) => {
    void carryOut(order).then(
      (answer) => process.send?.({ id, answer }),
      (error: unknown) =>
        process.send?.({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
  });
  await once(process, 'disconnect');
  process.exit(0);
}
