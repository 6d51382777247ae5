import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { SlipwayError } from '@slipway/app/errors';
import { filesOf } from '../home.ts';
import { linkIfMissing } from '../link-file.ts';
import { writeSecret } from '../secret-file.ts';
import { errorCode } from '../error-code.ts';

/** Where data goes when the home can't be entered by the user that apps run as. */
const SYSTEM_DATA = '/var/lib/slipway';

/** A home that is ready to be used. */
export interface PreparedHome {
  /** Absolute path of the data, links followed. */
  data: string;
  token: string;
  /** Why the data is not in the home; null when it is. */
  note: string | null;
}

/**
 * Makes the home, or completes it. Safe to call again.
 *
 * As root, apps run as an unprivileged user, who must be able to walk to their artifacts. Where a folder on the way to
 * the home forbids that (`/root` does), the data goes to /var/lib/slipway and the home holds a link to it.
 *
 * @throws {SlipwayError} `mistake` when the home can't be made or its data can't be reached.
 */
export function prepareHome(home: string): PreparedHome {
  const asRoot = process.getuid?.() === 0;
  const files = filesOf(home);
  explainFailure(home, () => {
    mkdirSync(home, { recursive: true, mode: asRoot ? 0o755 : 0o700 });
    mkdirSync(files.logs, { recursive: true, mode: 0o700 });
  });
  const note = asRoot ? placeData(home, files.data) : null;
  explainFailure(files.data, () => mkdirSync(files.data, { recursive: true, mode: asRoot ? 0o755 : 0o700 }));
  const data = realpathSync(files.data);
  if (asRoot) requireReachable(data);
  return { data, token: ensureToken(files.token), note };
}

/** @returns what to tell when the data is elsewhere. */
function placeData(home: string, data: string): string | null {
  const blocking = blockingFolder(home);
  if (lstatSync(data, { throwIfNoEntry: false }) === undefined) {
    if (blocking === null) return null;
    const elsewhere = join(SYSTEM_DATA, createHash('sha256').update(realpathSync(home)).digest('hex').slice(0, 12));
    mkdirSync(elsewhere, { recursive: true, mode: 0o755 });
    symlinkSync(elsewhere, data);
  }
  // The link's target may have been removed, with everything in it: then the next start is a first start.
  if (lstatSync(data).isSymbolicLink() && !existsSync(data)) {
    throw new SlipwayError('mistake', `${data} points to a folder that is gone`, {
      hint: `Bring it back from a backup, or start empty: rm ${data}`,
    });
  }
  return blocking === null
    ? null
    : `Data is in ${realpathSync(data)}: apps run as an unprivileged user, who can't enter ${blocking}.`;
}

function requireReachable(data: string): void {
  const blocking = blockingFolder(data);
  if (blocking === null) return;
  throw new SlipwayError(
    'mistake',
    `apps run as an unprivileged user, who can't enter ${blocking} on the way to their files in ${data}`,
    {
      hint: `Let others pass (chmod o+x ${blocking}), or use another home: slipway up --home FOLDER`,
    },
  );
}

/** The outermost folder on the way that others may not enter; null when there is none. */
function blockingFolder(folder: string): string | null {
  const way: string[] = [];
  for (let at = realpathSync(folder); ; at = dirname(at)) {
    way.unshift(at);
    if (at === dirname(at)) break;
  }
  return way.find((at) => (statSync(at).mode & 0o001) === 0) ?? null;
}

/** The administrator's token: made once, also when two start at the same moment; readable by this user only. */
function ensureToken(file: string): string {
  if (!existsSync(file)) {
    const draft = `${file}.${process.pid}`;
    writeSecret(draft, `slw_${randomBytes(32).toString('base64url')}\n`);
    linkIfMissing(draft, file);
    rmSync(draft);
  }
  chmodSync(file, 0o600);
  return readFileSync(file, 'utf8').trim();
}

function explainFailure(folder: string, make: () => void): void {
  try {
    make();
  } catch (error) {
    const code = errorCode(error) || 'unknown error';
    const why: Record<string, string> = {
      EACCES: 'this user may not write there',
      EPERM: 'this user may not write there',
      ENOSPC: 'the disk is full',
      EROFS: 'the file system is read-only',
      EEXIST: 'there is a file of that name',
      ENOTDIR: 'a part of the path is a file',
    };
    throw new SlipwayError('mistake', `the folder ${folder} can't be made: ${why[code] ?? code}`, {
      hint: 'Make room or choose another home: --home FOLDER, or SLIPWAY_HOME.',
      cause: error,
    });
  }
}
