import { createHash } from 'node:crypto';
import { isMapping } from './json-value.ts';
import { sortedMap } from './kubernetes-object.ts';

/** Most names are DNS labels: at most 63 characters (RFC 1035). */
const MAX_LABEL = 63;
/** The controller adds 11 characters for the time of each run. */
export const MAX_CRON_JOB = 52;
const HASH = 10;

/**
 * One DNS label of several names, such as `shop--staging`. Different parts give different labels: the separator is in none of the
 * parts, or a hash of them all is at the end. `my-shop` + `x` and `my` + `shop-x` would be the same with a single hyphen.
 *
 * @param parts DNS labels themselves.
 * @example labelOf(['web']) // 'web'
 * @example labelOf(['shop', 'staging']) // 'shop--staging'
 */
export function labelOf(parts: readonly string[], max = MAX_LABEL): string {
  const label = parts.join('--');
  if (label.length <= max && !parts.some((part) => part.includes('--'))) return label;
  const readable = label.replaceAll(/-{2,}/g, '-').slice(0, max - HASH - 1);
  return `${readable.replace(/-+$/, '')}-${contentHash(parts)}`;
}

/** Ten hexadecimal digits that stand for a value of JSON, in whatever order its keys are. */
export function contentHash(value: unknown): string {
  const text = JSON.stringify(value, (_, one: unknown) => (isMapping(one) ? sortedMap(one) : one));
  return createHash('sha256').update(text).digest('hex').slice(0, HASH);
}
