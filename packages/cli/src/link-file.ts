import { linkSync } from 'node:fs';
import { errorCode } from './error-code.ts';

/**
 * Gives a whole file a second name, unless there is something of that name: of many who try at once, one does.
 *
 * @returns false when it was there already.
 */
export function linkIfMissing(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  }
}
