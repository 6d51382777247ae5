import path from 'node:path';
import { progress, round3, type Measured } from './measure.ts';
import { RunningSlipway } from './slipway/running.ts';

/**
 * A burst on a worker that has no process yet: 10,000 tasks of 50 ms are added at once; how long until the last is done, beside the ideal, which is their
 * work divided by the slots that the worker may have. From zero: the control plane sees the tasks, decides on slots, the engine starts a runner, and that
 * starts the app's processes.
 */
const TASKS = 10_000;
const TASK_SECONDS = 0.05;
const SLOTS = 20;
/** As many as one call takes. */
const PER_CALL = 1_000;

const yaml = `app: burst
workers:
  render:
    run: exec "$NODE" render.ts
    process: kept
    normal: { cpu: 0.05, memory: 256Mi, timeout: 20s }
    replicas: 0..${SLOTS}
    drain: 10s
config:
  NODE: ${JSON.stringify(process.execPath)}
environments:
  staging: { branch: main }
`;
const child = path.join(import.meta.dirname, '..', 'packages', 'queue', 'src', 'runtime', 'child.ts');
const program = `
import { serveTasks } from ${JSON.stringify(child)};
await serveTasks(() => new Promise((resolve) => setTimeout(resolve, ${TASK_SECONDS * 1_000})));
`;

interface Queue {
  lanes: { lane: string; slots: number; ready: number; running: number; counts: { done: number; dead: number } }[];
}

export default async function burst(): Promise<Measured> {
  const slipway = await RunningSlipway.start();
  try {
    const repository = await slipway.repository('burst', { 'slipway.yaml': yaml, 'render.ts': program });
    await repository.push();
    await slipway.until('burst', 'staging', ({ release }) => release !== null);
    const began = performance.now();
    let added = 0;
    while (added < TASKS) {
      const tasks = Array.from({ length: PER_CALL }, (_, n) => ({ payload: { n: added + n } }));
      await slipway.api('POST', '/queues/burst/staging/render/tasks', { tasks });
      added += PER_CALL;
    }
    const enqueued = (performance.now() - began) / 1_000;
    const firstSlots = await allDone(slipway, began);
    const seconds = (performance.now() - began) / 1_000;
    const ideal = (TASKS * TASK_SECONDS) / SLOTS;
    return {
      figures: { ratio_to_ideal: round3(seconds / ideal) },
      peers: {
        seconds: round3(seconds),
        ideal_s: ideal,
        slots: SLOTS,
        enqueue_s: round3(enqueued),
        all_slots_after_s: round3(firstSlots),
      },
    };
  } finally {
    await slipway.stop();
  }
}

/** @returns after how many seconds all slots were wanted. */
async function allDone(slipway: RunningSlipway, began: number): Promise<number> {
  let allSlots = Number.NaN;
  for (;;) {
    const queue = await slipway.api<Queue>('GET', '/queues/burst/staging/render');
    const normal = queue.lanes.find(({ lane }) => lane === 'normal');
    const done = normal?.counts.done ?? 0;
    const seconds = (performance.now() - began) / 1_000;
    if (Number.isNaN(allSlots) && normal?.slots === SLOTS) allSlots = seconds;
    // What is done is told every two seconds; what is left says it at once.
    if (normal !== undefined && normal.ready + normal.running === 0 && seconds > 5) return allSlots;
    if ((normal?.counts.dead ?? 0) > 0) throw new Error(`tasks died: ${JSON.stringify(queue)}`);
    if (seconds > 300) throw new Error(`after 5 minutes ${done} of ${TASKS} tasks are done: ${JSON.stringify(queue)}`);
    progress(`${round3(seconds)} s: ${normal?.ready} wait, ${normal?.running} run, ${normal?.slots} slots`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
