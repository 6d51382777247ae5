import { text } from 'node:stream/consumers';
import { collectGarbage, type Garbage, ObjectStoreForeign, type ObjectStore, ownerOf } from './objects/index.ts';
import { readIdentity } from './statements/identity.ts';
import type { Database, Names } from './statements/names.ts';
import { keysNamedIn, liveTasks, readNamedKeys } from './statements/references.ts';

/**
 * Deletes what no task needs from the store of a queue. An object older than the limit stays while
 *
 * | key | |
 * | --- | --- |
 * | any | anything stored of a task names it: waiting, running, dead, or done and kept |
 * | `output/TASK/…` | that task waits or runs |
 * | `input/…`, `output/…` | a payload that is itself in the store names it |
 *
 * What names a key is read once, before anything is deleted. That is early enough: an object that is named for the first time later is young
 * (a payload is put anew for each task, an attempt uploads when it ends), or its file was uploaded longer ago than the limit allows.
 * It takes about 150 bytes of memory for each key.
 *
 * @throws {ObjectStoreForeign} before anything is deleted, when the store is not marked as this queue's. {ObjectStoreDown} in the middle; the
 *   next run goes on. {ObjectRefused} for an age below two hours.
 */
export async function collectObjects(
  db: Database,
  names: Names,
  store: ObjectStore,
  { olderThanSeconds, now }: { olderThanSeconds: number; now: number },
): Promise<Garbage> {
  const total: Garbage = { objects: 0, bytes: 0, unfinished: 0 };
  const queue = await readIdentity(db, names);
  if ((await ownerOf(store, queue)) === 'nobody') {
    // Marked with the first put: it is new, or this is not the store that was used until now.
    if (await isEmpty(store)) return total;
    throw new ObjectStoreForeign('has objects and no mark whose they are', queue);
  }
  const named = await readNamedKeys(db, names);
  const isPayloadReferenced = async (keys: string[]) => new Set(keys.filter((key) => named.has(key)));
  // Large payloads are read only when that can save something.
  let inPayloads: Promise<Set<string>> | null = null;
  const isFileReferenced = async (keys: string[]) => {
    const unnamed = keys.filter((key) => !named.has(key));
    const live = await liveTasks(db, names, [...new Set(unnamed.flatMap(taskOfOutput))]);
    const rest = unnamed.filter((key) => !taskOfOutput(key).some((id) => live.has(id)));
    if (rest.length === 0) return new Set(keys);
    inPayloads ??= readPayloads(store, named);
    const garbage = new Set(rest).difference(await inPayloads);
    return new Set(keys).difference(garbage);
  };
  // Files before payloads: what names them is read from payloads that are all still there.
  for (const [prefix, isReferenced] of [
    ['input/', isFileReferenced],
    ['output/', isFileReferenced],
    ['payload/', isPayloadReferenced],
  ] as const) {
    const collected = await collectGarbage(store, { prefix, olderThanSeconds, isReferenced, now });
    total.objects += collected.objects;
    total.bytes += collected.bytes;
    total.unfinished += collected.unfinished;
  }
  return total;
}

async function isEmpty(store: ObjectStore): Promise<boolean> {
  for (const prefix of ['input/', 'output/', 'payload/']) for await (const _object of store.list(prefix)) return false;
  return true;
}

/** As `storePayload` makes them: what else begins so is a user's text, which may be no key at all. */
const PAYLOAD = /^payload\/\d{4}-\d\d-\d\dT\d\d\/[0-9a-f]{64}$/;

/** What the payloads in the store name that tasks refer to. Not verified: even a damaged one may tell what belongs to its task. */
async function readPayloads(store: ObjectStore, named: ReadonlySet<string>): Promise<Set<string>> {
  const keys = new Set<string>();
  for (const key of named) {
    if (!PAYLOAD.test(key)) continue;
    const content = await store.get(key);
    if (content === null) continue;
    for (const found of keysNamedIn(await text(content))) keys.add(found);
  }
  return keys;
}

function taskOfOutput(key: string): string[] {
  const [, id] = /^output\/(\d{1,18})\//.exec(key) ?? [];
  return id === undefined ? [] : [id];
}
