import { setTimeout as delay } from 'node:timers/promises';
import { KubernetesEngine, readKubeconfig } from '@slipway/kubernetes';
import { Observed } from '../kubernetes/observed.ts';
import { environmentOf, planOf, SECRET, TARGET } from './plan.ts';

/**
 * The engine of one control plane, in a process of its own: `control-plane.ts KUBECONFIG ENVIRONMENTS`. It is given every plan, as after each
 * start, and says when all are true. It ends with its parent, and removes everything first when it is told `remove`.
 */
export type Said =
  /** Every environment that was held has been told. */
  | { said: 'synced'; environments: number }
  /** Every environment holds its plan, was looked at and written since, and nothing is wrong with any. */
  | { said: 'true'; reads: number; writes: number }
  | { said: 'removed' };

const AGAIN_MILLISECONDS = 200;

if (import.meta.main) {
  const [kubeconfig = '', count = '0'] = process.argv.slice(2);
  const numbers = Array.from({ length: Number(count) }, (_, index) => index + 1);
  process.once('disconnect', () => process.exit(0));
  const engine = new KubernetesEngine({
    access: async () => await readKubeconfig(kubeconfig),
    target: TARGET,
    key: 'key of the benchmark',
    secretNames: () => [SECRET],
  });
  await engine.start();
  const observed = new Observed(engine);
  await observed.synced;
  say({ said: 'synced', environments: observed.all.length });
  await Promise.all(numbers.map(makeTrue));
  const { reads, writes } = engine.calls;
  say({ said: 'true', reads, writes });
  process.on('message', (order) => {
    if (order === 'remove') void removeAll().then(() => say({ said: 'removed' }));
  });

  /** The engine answers when it has looked at the environment after what it was told before; what went wrong is in the notices. */
  async function makeTrue(number: number): Promise<void> {
    const plan = planOf(number);
    await engine.converge(plan);
    for (;;) {
      const { generation, notices } = await engine.converge(plan);
      if (generation === plan.generation && !notices.some(isTrouble)) return;
      await delay(AGAIN_MILLISECONDS);
    }
  }

  async function removeAll(): Promise<void> {
    await Promise.all(numbers.map(async (number) => await engine.remove(environmentOf(number))));
    await observed.stop();
    await engine.stop();
  }
}

/** That somebody's change was undone is told, and no trouble. */
function isTrouble(notice: string): boolean {
  return !/Slipway has (?:set it back|made it again)$/.test(notice);
}

function say(what: Said): void {
  process.send?.(what);
}
