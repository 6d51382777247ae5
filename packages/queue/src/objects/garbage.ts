import { ObjectRefused } from './object-errors.ts';
import type { ListedObject, ObjectStore } from './object-store.ts';

/** Keys that are asked about and deleted together. */
const BATCH = 500;
/** A payload's key may be put again for an hour (see storePayload); the rest is for clocks that differ. */
const YOUNGEST_SECONDS = 2 * 3_600;

export interface GarbageOptions {
  /** `payload/`, `input/` or `output/`. */
  prefix: string;
  /**
   * What is younger is left alone, whatever refers to it. Longer than any transaction that enqueues and any attempt that uploads:
   * their objects are there before the row that refers to them. At least 7200; a day is a good choice.
   */
  olderThanSeconds: number;
  /** Answers which of these keys a row refers to. When it throws, nothing of this batch is deleted. */
  isReferenced: (keys: string[]) => Promise<Set<string>>;
  /** Milliseconds since 1970. */
  now: number;
}

export interface Garbage {
  /** Objects that were deleted, and their size. */
  objects: number;
  bytes: number;
  /** Interrupted puts whose room was freed; in the whole store, not only below the prefix. */
  unfinished: number;
}

/**
 * Deletes objects that nothing refers to. May be interrupted at any time, and run by several processes at once.
 *
 * @throws {ObjectStoreDown}
 */
export async function collectGarbage(store: ObjectStore, options: GarbageOptions): Promise<Garbage> {
  const { prefix, olderThanSeconds, isReferenced, now } = options;
  if (!(olderThanSeconds >= YOUNGEST_SECONDS)) {
    throw new ObjectRefused(
      `Garbage has to be at least ${YOUNGEST_SECONDS} seconds old before it is collected, not ${olderThanSeconds}: the row that refers to it may be about to be committed.`,
    );
  }
  const before = now - olderThanSeconds * 1_000;
  const collected: Garbage = { objects: 0, bytes: 0, unfinished: await store.discardUnfinished(before) };
  const collect = async (batch: ListedObject[]) => {
    const referenced = await isReferenced(batch.map(({ key }) => key));
    const garbage = batch.filter(({ key }) => !referenced.has(key));
    await store.delete(garbage.map(({ key }) => key));
    collected.objects += garbage.length;
    collected.bytes += garbage.reduce((sum, { bytes }) => sum + bytes, 0);
  };
  let batch: ListedObject[] = [];
  for await (const object of store.list(prefix)) {
    if (object.modifiedAt >= before) continue;
    batch.push(object);
    if (batch.length < BATCH) continue;
    await collect(batch);
    batch = [];
  }
  if (batch.length > 0) await collect(batch);
  return collected;
}
