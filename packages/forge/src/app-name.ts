import { SlipwayError } from '@slipway/app';

const pattern = /^[a-z][a-z0-9-]{0,38}[a-z0-9]$/;

/** True for a name that a repository, a host name and a folder can all have. */
export function isAppName(name: string): boolean {
  return pattern.test(name);
}

/** @throws {SlipwayError} `mistake` that says what is allowed. */
export function checkAppName(name: string): void {
  if (isAppName(name)) return;
  throw new SlipwayError('mistake', `"${printable(name)}" can't be the name of an app.`, {
    hint: 'Use 2 to 40 characters: lower-case letters, digits and hyphens, a letter first, no hyphen last, e.g. "shop".',
  });
}

function printable(name: string): string {
  return name.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 60);
}
