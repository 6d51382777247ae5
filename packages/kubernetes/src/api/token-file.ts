import { readFile } from 'node:fs/promises';
import type { Identity } from './access.ts';

/** The kubelet writes a new token long before the old one ends; client-go reads the file once a minute as well. */
const KEPT_MILLISECONDS = 60_000;

/** A token in a file that somebody renews. */
export function tokenFile(file: string, now: () => number = Date.now): Identity {
  let kept: { token: string; at: number } | null = null;
  return {
    kind: 'token',
    async read() {
      if (kept === null || now() - kept.at > KEPT_MILLISECONDS)
        kept = { token: (await readFile(file, 'utf8')).trim(), at: now() };
      return kept.token;
    },
    refused: () => (kept = null),
  };
}
