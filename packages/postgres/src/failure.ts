import { open } from 'node:fs/promises';

/** What PostgreSQL wrote, and what an operator should read instead. The first match wins. */
const explanations: [pattern: RegExp, advice: string][] = [
  [
    /No space left on device/,
    'The disk is full. Free some space, then start again: nothing that was committed is lost.',
  ],
  [
    /could not bind .*Address already in use|could not create any TCP\/IP sockets/,
    'Its TCP port is taken by another program. End that program, or choose another port.',
  ],
  [
    /has (wrong ownership|invalid permissions)/,
    'The data folder belongs to another user. Start as the user that created it, or hand it over with chown.',
  ],
  [
    /was initialized by PostgreSQL version/,
    'The data folder was made by another version of PostgreSQL. Start it with the version of Slipway that made it.',
  ],
  [
    /error while loading shared libraries/,
    'The PostgreSQL package is incomplete: its install script did not run. Repair it with: npm rebuild.',
  ],
  [
    /could not (create|resize|map) .*shared memory|out of memory|Cannot allocate memory/i,
    'There is not enough memory. Free some, then start again.',
  ],
  [
    /database files are incompatible with server|could not read file|invalid (primary )?checkpoint record|could not locate a valid checkpoint|incorrect checksum in control file|could not open (file|directory) "(global|base|pg_wal|pg_xact)|PANIC|control file .*|invalid data in file/,
    'The data folder is damaged. Keep a copy of it, then restore a backup; to begin empty, move the folder away.',
  ],
];

/** One message for an operator: what happened, the line that says why, and what to do. */
export function explainFailure(what: string, log: string, logFile: string): string {
  const lines = log.split('\n').filter((line) => line.trim() !== '');
  const advice = explanations.find(([pattern]) => pattern.test(log))?.[1];
  const reason = lines.findLast((line) => /FATAL|PANIC|ERROR|error:/.test(line)) ?? lines.at(-1) ?? 'it wrote nothing';
  return `${what}: ${reason.replace(/^.*\[\d+\] /, '')}. ${advice ?? 'Its log says more.'} (log: ${logFile})`;
}

/** The part of a file from `offset` on, at most 64 KiB of its end. Empty when there is no file. */
export async function readFrom(file: string, offset: number): Promise<string> {
  const handle = await open(file, 'r').catch(() => null);
  if (handle === null) return '';
  try {
    const { size } = await handle.stat();
    const start = Math.max(Math.min(offset, size), size - 65_536);
    const buffer = Buffer.alloc(size - start);
    await handle.read(buffer, 0, buffer.length, start);
    return buffer.toString();
  } finally {
    await handle.close();
  }
}
