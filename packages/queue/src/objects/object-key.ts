import { ObjectRefused } from './object-errors.ts';

/** S3 allows 1024 bytes; the rest is for a store's prefix. */
const LONGEST_KEY = 900;
/** What file systems allow for one name. */
const LONGEST_NAME = 255;
/** Control characters would not survive S3's XML; `\` separates folders on some systems; the last three are no characters at all. */
// oxlint-disable-next-line no-control-regex -- these are what is looked for
const NOT_ALLOWED = /[\u0000-\u001f\u007f-\u009f\\\ufffd-\uffff]/;
/** In a folder store, what is being written. Not available as a key in any store, so that all of them take the same keys. */
export const UNFINISHED = '.unfinished';

/** @throws {ObjectRefused} when a store could not keep an object under this key, or would keep it elsewhere than asked. */
export function assertKey(key: string): void {
  const reason = reasonAgainst(key);
  if (reason !== null) {
    throw new ObjectRefused(`${JSON.stringify(key.slice(0, 200))} can't be the key of an object: ${reason}.`);
  }
}

function reasonAgainst(key: string): string | null {
  if (key === '') return 'it is empty';
  if (!key.isWellFormed()) return 'it is not valid Unicode';
  if (Buffer.byteLength(key) > LONGEST_KEY) return `it is longer than ${LONGEST_KEY} bytes`;
  if (NOT_ALLOWED.test(key)) return 'it has a control character, a backslash, or a character that is not valid text';
  const names = key.split('/');
  if (names.includes('')) return 'it must not begin or end with / or have // in it';
  if (names.includes('.') || names.includes('..')) return 'it must not have . or .. as a part';
  if (names[0] === UNFINISHED) return `${UNFINISHED} is reserved for objects that are being written`;
  if (names.some((name) => Buffer.byteLength(name) > LONGEST_NAME))
    return `a part is longer than ${LONGEST_NAME} bytes`;
  return null;
}
