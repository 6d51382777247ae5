export type { DiffSummary } from './diff-summary.ts';
export type { Checkout, Commit, CommitStatus, Forge } from './forge.ts';
export { GitForge } from './git-forge.ts';
export type { GitForgeOptions } from './git-forge.ts';
export type { PushConsole } from './http/push-console.ts';
export { serveGit } from './http/serve-git.ts';
export type { BranchChange, Decision, GitAccess, ServeGitOptions } from './http/serve-git-options.ts';
