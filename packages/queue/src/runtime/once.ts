import type { AttemptFolder } from './attempt-folder.ts';
import { endOfCommand, type AttemptEnd } from './attempt-end.ts';
import { endInTime } from './attempt-limits.ts';
import type { Limits } from './limits.ts';
import type { Lane } from '../statements/lane.ts';
import { ProcessTree, type Supervision, type TreeUsage } from './process-tree.ts';
import { followProgress, type Progress } from './progress-file.ts';

export interface AttemptTask {
  id: string;
  /** 1 for the first try. */
  attempt: number;
  lane: Lane;
  payload: unknown;
  folder: AttemptFolder;
}

export interface AttemptControl {
  signal: AbortSignal;
  /** Aborts when a stop's grace is over. */
  graceOver: AbortSignal;
  onProgress: (progress: Progress) => void;
}

export interface CommandSettings {
  command: string;
  cwd: string;
  env: Record<string, string>;
  /** Seconds until the next try after exit code 75. */
  againSeconds: number;
}

/** Runs the command for this one attempt; its folder is filled. */
export async function runOnce(
  task: AttemptTask,
  limits: Limits,
  { againSeconds, ...settings }: CommandSettings,
  control: AttemptControl,
  on: Supervision,
): Promise<{ end: AttemptEnd; usage: TreeUsage }> {
  const stopFollowing = followProgress(task.folder.progress, control.onProgress);
  try {
    const env = { ...settings.env, ...attemptVariables(task) };
    const tree = await ProcessTree.start({ ...settings, env, limits, how: 'once' }, on);
    const release = endInTime(tree, control.signal, control.graceOver);
    const ending = await tree.ended;
    release();
    return { end: endOfCommand(ending, limits, againSeconds), usage: tree.usage };
  } finally {
    stopFollowing();
  }
}

function attemptVariables({ id, attempt, lane, folder }: AttemptTask): Record<string, string> {
  return {
    SLIPWAY_TASK_ID: id,
    SLIPWAY_ATTEMPT: `${attempt}`,
    SLIPWAY_LANE: lane,
    SLIPWAY_PAYLOAD: folder.payload,
    SLIPWAY_INPUT: folder.input,
    SLIPWAY_OUTPUT: folder.output,
    SLIPWAY_PROGRESS: folder.progress,
  };
}
