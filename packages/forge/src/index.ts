export type { Commit, CommitStatus, Forge } from './forge.ts';
