import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { ProcessIdentity } from './process-identity.ts';
import { trustedJson } from '../trusted-json.ts';

/** A process that `up` started: enough to find it again, and to see whether it is still the one that is wanted. */
export interface PartRecord extends ProcessIdentity {
  /** Version and arguments: with others it is replaced, not adopted. */
  start: string;
}

export type PartName = 'postgres' | 'agent' | 'server';

/** `up.json`. Written by the owner of the home's lock only. */
export interface UpState {
  port: number | null;
  routerPort: number | null;
  /** The `up` under which everything has answered, by its process id; of an earlier one it says nothing. */
  readyUnder: number | null;
  parts: Partial<Record<PartName, PartRecord>>;
}

/** What an earlier `up` left; a damaged file counts as none. */
export function readState(file: string): UpState {
  const empty: UpState = { port: null, routerPort: null, readyUnder: null, parts: {} };
  try {
    return { ...empty, ...trustedJson<Partial<UpState>>(readFileSync(file, 'utf8')) };
  } catch {
    return empty;
  }
}

export function writeState(file: string, state: UpState): void {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(state)}\n`, { mode: 0o600 });
  renameSync(draft, file);
}
