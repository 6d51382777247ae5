import path from 'node:path';
import { CannotRun, givenCluster, withTestCluster, type GivenCluster } from '@slipway/testing/cluster';
import { CannotMeasure } from '../measure.ts';

/** The cluster of a benchmark. */
export interface BenchCluster {
  cluster: GivenCluster;
  /** `stays`: the benchmark has to remove what it made. */
  afterwards: 'stopped' | 'stays';
}

/**
 * Measures on the cluster that SLIPWAY_TEST_KUBECONFIG names; without it, one is started and stopped.
 *
 * @throws {CannotMeasure} when there can be none on this machine.
 */
export async function onTestCluster<T>(
  options: { nodes: number; extent: 'full' | 'plain' },
  measure: (cluster: BenchCluster) => Promise<T>,
): Promise<T> {
  const given = process.env['SLIPWAY_TEST_KUBECONFIG'] ?? '';
  if (given !== '') return await measured({ cluster: await givenCluster(), afterwards: 'stays' }, measure);
  const results: T[] = [];
  try {
    await withTestCluster(options, async (cluster, interrupted) => {
      Object.assign(process.env, cluster.forTests);
      process.env['PATH'] = [...cluster.tools, process.env['PATH'] ?? ''].join(path.delimiter);
      const interruption = Promise.withResolvers<never>();
      interrupted.addEventListener('abort', () => interruption.reject(new Error('interrupted')));
      interruption.promise.catch(() => undefined);
      const work = measured({ cluster: await givenCluster(), afterwards: 'stopped' }, measure);
      results.push(await Promise.race([work, interruption.promise]));
      return 0;
    });
  } catch (error) {
    if (error instanceof CannotRun) throw new CannotMeasure(error.message, { cause: error });
    throw error;
  }
  const [result] = results;
  if (result === undefined) throw new CannotMeasure('interrupted');
  return result;
}

async function measured<T>(bench: BenchCluster, measure: (cluster: BenchCluster) => Promise<T>): Promise<T> {
  try {
    return await measure(bench);
  } finally {
    bench.cluster.api.close();
  }
}
