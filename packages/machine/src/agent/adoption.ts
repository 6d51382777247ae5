import { isRunning, type ProcessName } from '@slipway/queue/processes';
import type { Clock } from './clock.ts';
import { readOutput, type Output, type OutputOptions } from './output.ts';
import { processFolder } from './process-folder.ts';

/** Milliseconds between two looks at an adopted process: the backstop for one that keeps no output open. */
const lookEvery = 5000;
/** Output ends a moment before the process does: this often and at most this many times it is looked for. */
const soonEvery = 10;
const soonLooks = 50;

/** A process that an earlier agent started, taken over. */
export interface Adopted {
  output: Output;
  running: () => boolean;
  /** Resolves when it has ended, or nobody wants to know any more. */
  ended: Promise<void>;
}

/** Takes a process over: reads on from its FIFOs, and watches for its end. @returns null when it does not run any more. */
export function adoptProcess(
  { pid, startTime }: ProcessName,
  folder: string,
  clock: Clock,
  options: OutputOptions & { wanted: () => boolean },
): Adopted | null {
  if (pid === null || startTime === null || !isRunning(pid, startTime)) return null;
  const output = readOutput(processFolder(folder), options);
  const running = (): boolean => isRunning(pid, startTime);
  const watched = (): boolean => options.wanted() && running();
  return { output, running, ended: endOf(watched, output, clock) };
}

/** No exit event comes from a process that is not our child. The end of its output is the signal; a slow look is the backstop. */
async function endOf(watched: () => boolean, output: Output, clock: Clock): Promise<void> {
  await new Promise<void>((resolve) => {
    const lookAgain = (): void => {
      if (watched()) clock.after(lookEvery, lookAgain);
      else resolve();
    };
    const lookSoon = (looks: number): void => {
      if (!watched()) resolve();
      else if (looks > 0) clock.after(soonEvery, () => lookSoon(looks - 1));
    };
    void output.ended.then(() => lookSoon(soonLooks));
    clock.after(lookEvery, lookAgain);
  });
}
