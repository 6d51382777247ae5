import { groupRuns, killAll, membersOf, signal, type Mark, type ProcessName } from './procfs.ts';

/** Milliseconds between two looks at a group that is being ended. */
const longestLook = 100;
/** Milliseconds that the kernel may take to end what was killed; a process in an uninterruptible call is not waited for longer. */
const killedWithin = 5000;

/** Milliseconds from a kill to the next look. */
const killTakes = 5;

/**
 * Ends everything that belongs to a process: SIGTERM to its group, SIGKILL after `graceMs` to the group and to whatever left it (its mark
 * tells). Resolves when nothing of it runs. The whole group has the grace: often the leader is a shell that ends at once, while the app
 * behind it still answers its last requests.
 *
 * @param leaderRuns False once the leader has ended; then its pid may mean nothing any more, unless its group lives on.
 */
export async function endTree(
  mark: Mark,
  leader: ProcessName,
  leaderRuns: () => boolean,
  graceMs: number,
): Promise<void> {
  const group = leader.pid;
  if (group === null) return;
  if (leaderRuns()) {
    if (graceMs > 0) {
      signal({ group }, 'SIGTERM');
      await groupEnds(group, graceMs);
    }
    signal({ group }, 'SIGKILL');
  }
  await killLeftovers(mark, leader);
  await groupEnds(group, killedWithin);
}

/** Resolves when no process of the group runs, or after `ms`. Neither orphans nor adopted processes send an event; so while something is being ended, /proc is asked. */
async function groupEnds(leader: number, ms: number): Promise<void> {
  const deadline = performance.now() + ms;
  for (let pause = 5; await groupRuns(leader); pause = Math.min(pause * 1.5, longestLook)) {
    const left = deadline - performance.now();
    if (left <= 0) return;
    await new Promise((resolve) => setTimeout(resolve, Math.min(pause, left)));
  }
}

/**
 * Kills what is left of a tree whose leader has ended, until a look finds nothing: what was forked between a look and the kill is in the
 * next look. `leader` null: it ended unseen, or was never recorded; only the mark proves what is left.
 */
export async function killLeftovers(mark: Mark, leader: ProcessName | null): Promise<void> {
  const deadline = performance.now() + killedWithin;
  for (;;) {
    const left = await membersOf(mark, leader);
    if (left.length === 0 || performance.now() > deadline) return;
    killAll(left);
    await new Promise((resolve) => setTimeout(resolve, killTakes));
  }
}
