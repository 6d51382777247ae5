import { createHash } from 'node:crypto';
import { ObjectDamaged, ObjectMissing } from './object-errors.ts';
import { verified, type ObjectStore } from './object-store.ts';

/** Larger payloads are kept out of PostgreSQL: UTF-8 bytes of their JSON. */
const INLINE_BYTES = 64 * 1024;
const PREFIX = 'payload/';

/** What the row has instead of a payload that is in the object store. */
export interface PayloadReference {
  $object: string;
  bytes: number;
  sha256: string;
}

/**
 * Puts a large payload into the store, before the task that refers to it is committed. It is content-addressed within the hour:
 * `payload/2026-11-21T10/<sha256>`. A thousand tasks with one payload take its room once, and yet nobody ever puts to a key that
 * is old enough to be collected as garbage (see collectGarbage): else a put and a deletion of the same key could cross.
 *
 * @param json The payload as JSON.
 * @param now Milliseconds since 1970.
 * @returns What to keep in the row; null when the payload itself belongs there.
 * @throws {ObjectStoreDown}
 */
export async function storePayload(
  store: ObjectStore,
  json: string,
  now: number = Date.now(),
): Promise<PayloadReference | null> {
  if (isInline(json)) return null;
  const content = Buffer.from(json);
  const sha256 = createHash('sha256').update(content).digest('hex');
  const hour = new Date(now).toISOString().slice(0, 'YYYY-MM-DDTHH'.length);
  // Also when it is there already: the put makes it young again, for a task that is enqueued at the end of the hour.
  const { key, bytes } = await store.put(`${PREFIX}${hour}/${sha256}`, content);
  return { $object: key, bytes, sha256 };
}

/** Whether a payload, as JSON, belongs into the row although there is a store. */
export function isInline(json: string): boolean {
  return Buffer.byteLength(json) <= INLINE_BYTES && !looksLikeReference(json);
}

/**
 * The payload's JSON, exactly as it was stored.
 *
 * @throws {ObjectMissing} when it is gone, {ObjectDamaged} when it is another content: the task can never run.
 * @throws {ObjectStoreDown} the task should wait.
 */
export async function loadPayload(store: Pick<ObjectStore, 'get'>, reference: PayloadReference): Promise<string> {
  const { $object: key, bytes, sha256 } = reference;
  const content = await store.get(key);
  if (content === null) throw new ObjectMissing(key, 'The payload of the task');
  const chunks: Uint8Array[] = [];
  for await (const chunk of verified(content, { key, bytes, sha256 }, 'The payload of the task')) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/**
 * The reference in a row's payload; null when it is a payload itself.
 *
 * @throws {ObjectDamaged} for something in between, which only a broken row can be: storePayload never leaves it.
 */
export function payloadReference(payload: unknown): PayloadReference | null {
  if (payload === null || typeof payload !== 'object' || !('$object' in payload)) return null;
  const { $object: key, bytes, sha256 } = { bytes: null, sha256: null, ...payload };
  const valid =
    typeof key === 'string' &&
    key.startsWith(PREFIX) &&
    typeof bytes === 'number' &&
    Number.isSafeInteger(bytes) &&
    typeof sha256 === 'string' &&
    /^[0-9a-f]{64}$/.test(sha256);
  if (!valid) throw new ObjectDamaged(String(key), 'The payload of the task', 'the row has no valid reference to it');
  return { $object: key, bytes, sha256 };
}

/**
 * A payload that a user made to look like a reference would be taken for one, and read somebody else's object. It goes into the
 * store whatever its size, so that what the row has is always ours.
 */
function looksLikeReference(json: string): boolean {
  // Most payloads need not be parsed for it: the name has to appear, or an escape that could spell a part of it.
  if (!json.includes('$object') && !json.includes('\\u00')) return false;
  const payload: unknown = JSON.parse(json);
  return payload !== null && typeof payload === 'object' && Object.hasOwn(payload, '$object');
}

/**
 * The payload of what a row has: itself, unless it is a reference.
 *
 * @param store Where it is; null: payloads are never elsewhere, and what looks like a reference is a payload.
 * @throws as {@link loadPayload}.
 */
export function openPayload(store: Pick<ObjectStore, 'get'> | null, stored: unknown): unknown {
  const reference = store === null ? null : payloadReference(stored);
  if (store === null || reference === null) return stored;
  return loadPayload(store, reference).then((json): unknown => JSON.parse(json));
}
