import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** Where Slipway keeps its state: `--home`, else SLIPWAY_HOME, else `~/.slipway`. */
export function homeFolder(option: string | undefined): string {
  return resolve(option ?? (process.env['SLIPWAY_HOME'] || join(homedir(), '.slipway')));
}

/** The files of a home, by what they are for. */
export function filesOf(home: string) {
  return {
    /** The administrator's token, 0600. */
    token: join(home, 'token'),
    /** Written by the control plane when it answers. */
    server: join(home, 'server.json'),
    /** What `slipway login` saved, 0600. */
    login: join(home, 'login.json'),
    /** Who runs `slipway up` on this home; each taking adds a number. */
    lock: join(home, 'up.lock'),
    /** Ports, and the processes that were started: what the next `slipway up` goes on with. */
    up: join(home, 'up.json'),
    /** Runtime data; a symbolic link when the home can't be entered by the user that apps run as. */
    data: join(home, 'data'),
    /** Compiled sources; may be deleted at any time. */
    cache: join(home, 'cache'),
    logs: join(home, 'logs'),
    example: join(home, 'example', 'shop'),
  };
}
