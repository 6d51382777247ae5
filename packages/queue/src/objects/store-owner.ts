import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { describeError } from '../connection-errors.ts';
import { ObjectStoreDown, ObjectStoreForeign } from './object-errors.ts';
import type { ObjectStore } from './object-store.ts';

/**
 * An object in each store that says whose it is, so that no queue stores or deletes anything in the store of another one: what one keeps
 * is garbage to the other.
 */
export const OWNER = 'owner.json';

const marker = z.object({ queue: z.string() });

/**
 * Whether a store is marked as this queue's.
 *
 * @param queue The queue's identity.
 * @throws {ObjectStoreForeign} {ObjectStoreDown}
 */
export async function ownerOf(store: ObjectStore, queue: string): Promise<'ours' | 'nobody'> {
  const content = await store.get(OWNER);
  if (content === null) return 'nobody';
  const said = await text(content);
  const parsed = marker.safeParse(jsonOf(said));
  if (parsed.success && parsed.data.queue === queue) return 'ours';
  throw new ObjectStoreForeign(
    parsed.success ? `is marked as that of the queue ${parsed.data.queue}` : 'is marked in a way that is not known',
    queue,
  );
}

/** Marks a store as this queue's, unless it is another one's. @throws {ObjectStoreForeign} {ObjectStoreDown} */
export async function takeStore(store: ObjectStore, queue: string): Promise<void> {
  if ((await ownerOf(store, queue)) === 'ours') return;
  await store.put(OWNER, Buffer.from(JSON.stringify({ queue })));
  // Two may have found it free at the same time: one put wins. Who put first and looked before the other may be deceived; then its
  // collections are refused, which look each time.
  await ownerOf(store, queue);
}

/** A store that takes nothing while it is another queue's. It is asked before the first put, and then believed. */
export function ownStore(store: ObjectStore, identity: () => Promise<string>): ObjectStore {
  let taken: Promise<void> | null = null;
  const take = () =>
    (taken ??= identity()
      // It passes like the store's own faults: no task is to blame.
      .catch((error: unknown) => {
        throw new ObjectStoreDown(
          `Nothing is stored before it is known whose the object store is, and PostgreSQL can't be asked: ${describeError(error)}`,
        );
      })
      .then((queue) => takeStore(store, queue))
      .catch((error: unknown) => {
        taken = null;
        throw error;
      }));
  return {
    async put(key, body) {
      await take();
      return await store.put(key, body);
    },
    get: (key) => store.get(key),
    list: (prefix) => store.list(prefix),
    delete: (keys) => store.delete(keys),
    discardUnfinished: (before) => store.discardUnfinished(before),
  };
}

function jsonOf(said: string): unknown {
  try {
    return JSON.parse(said);
  } catch {
    return null;
  }
}
