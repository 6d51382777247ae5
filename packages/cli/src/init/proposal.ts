/** What was recognised in one folder. Commands are relative to that folder. */
export interface Found {
  /** For the comment above it: `Node.js (package.json)`. */
  what: string;
  build: string | null;
  services: ProposedProcess[];
  workers: ProposedProcess[];
  /** Commands to run before each deploy. */
  jobs: ProposedProcess[];
  test: string | null;
  /** What the reader of the file has to check, one sentence each. */
  notes: string[];
}

export interface ProposedProcess {
  name: string;
  run: string;
  /** Why this command, or what to check about it. */
  comment: string;
  /** null when nothing says so. */
  port?: number;
}

export function found(what: string, rest: Partial<Found>): Found {
  return { what, build: null, services: [], workers: [], jobs: [], test: null, notes: [], ...rest };
}
