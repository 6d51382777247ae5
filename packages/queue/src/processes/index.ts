/** Processes of this computer and trees of them, by what /proc says: for whoever supervises some. Linux only. */
export { endTree, killLeftovers } from './ending.ts';
export {
  bootId,
  everyMark,
  everyProcess,
  groupRuns,
  isRunning,
  killAll,
  leaderOf,
  membersOf,
  readStat,
  signal,
  treeOf,
} from './procfs.ts';
export type { Mark, ProcessName, ProcessStat } from './procfs.ts';
export { TreeWatch } from './tree-watch.ts';
export type { Pace, TreeUse, WatchedTree } from './tree-watch.ts';
