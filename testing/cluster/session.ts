import { removeAbandonedClusters } from './abandoned.ts';
import { checkMachine } from './machine.ts';
import { CannotRun } from './cannot-run.ts';
import { TestCluster } from './cluster.ts';
import { preparedParts, type Extent } from './parts.ts';

const INTERRUPTED = 130;

/**
 * Starts a cluster, does `work`, and stops the cluster, whatever happens to the work or the start; also on Ctrl-C and SIGTERM.
 *
 * @param work Gives the exit code; it should end when its signal is aborted.
 * @returns The exit code.
 * @throws {CannotRun} when there can be no cluster on this machine.
 */
export async function withTestCluster(
  { nodes, extent = 'full' }: { nodes: number; extent?: Extent },
  work: (cluster: TestCluster, interrupted: AbortSignal) => Promise<number>,
): Promise<number> {
  const started = performance.now();
  const say = (step: string) => console.error(`slipway: [${seconds(started)}] ${step}`);
  await checkMachine();
  const parts = await preparedParts(say, extent);
  const cluster = new TestCluster({ parts, nodes, progress: say });
  const interruption = new AbortController();
  const interrupt = () => {
    if (!interruption.signal.aborted) say('interrupted; stopping the cluster');
    interruption.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);
  const stopEarly = () => void cluster.stop().catch(() => undefined); // told below
  interruption.signal.addEventListener('abort', stopEarly, { once: true });
  try {
    await cluster.start();
    interruption.signal.removeEventListener('abort', stopEarly);
    say(`Kubernetes runs; its logs are in ${cluster.folder}/logs`);
    return await work(cluster, interruption.signal);
  } catch (error) {
    if (interruption.signal.aborted) return INTERRUPTED;
    throw error;
  } finally {
    const stopping = performance.now();
    await cluster.stop();
    await removeAbandonedClusters(); // those of tests that failed
    say(`the cluster is stopped, in ${seconds(stopping)}`);
  }
}

/** Runs a program of this folder: what this machine can't do is said and is no failure; other errors are shown without their stack. */
export async function asProgram(what: string, main: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await main();
  } catch (error) {
    if (error instanceof CannotRun) {
      console.log(`not run: ${what}, because ${error.message}`);
      return;
    }
    console.error(`slipway: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1_000).toFixed(1)} s`;
}
