import { accessSync, appendFileSync, constants } from 'node:fs';
import path from 'node:path';

/** Says at the end of `npm test` what could not be run on this machine, and why. The test itself is skipped by its file. */
export function cannotRun(what: string, why: string): void {
  const file = process.env['SLIPWAY_NOT_RUN_FILE'];
  if (file !== undefined) appendFileSync(file, `${what}, because ${why}\n`);
}

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];
const MAC = '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome';

/** Path of a Chromium (`CHROMIUM` names one outside of PATH); null when there is none, which `npm test` then reports. */
export function findChromium(): string | null {
  const folders = (process.env['PATH'] ?? '').split(path.delimiter).filter(Boolean);
  const candidates = [
    process.env['CHROMIUM'] ?? '',
    ...NAMES.flatMap((name) => folders.map((folder) => path.join(folder, name))),
    MAC,
  ];
  const found = candidates.find((candidate) => candidate !== '' && isExecutable(candidate));
  if (found !== undefined) return found;
  cannotRun('dashboard tests in a browser', 'no Chromium was found; install it: apt-get install chromium');
  return null;
}

export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
