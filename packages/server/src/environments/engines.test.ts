import { SlipwayError } from '@slipway/app';
import type { Engine, Observation } from '@slipway/engine';
import { waitFor } from '@slipway/testing';
import { expect, onTestFinished, test } from 'vitest';
import { Engines, type Site } from './engines.ts';
import { Fleet } from './fleet.ts';

/** An engine that holds nothing, and can be reached when it is said so. */
function emptyEngine(name: string, isReachable: () => boolean) {
  const seen = { starts: 0, stops: 0 };
  const never = async (): Promise<never> => await Promise.reject(new Error('not asked for'));
  const engine: Engine = {
    name,
    starts: 'image',
    async start() {
      seen.starts += 1;
      if (!isReachable()) throw new SlipwayError('transient', 'it does not answer');
    },
    async stop() {
      seen.stops += 1;
    },
    async *observe(signal): AsyncGenerator<Observation> {
      if (!isReachable()) throw new SlipwayError('transient', 'it does not answer');
      yield { kind: 'synced' };
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    },
    converge: never,
    remove: never,
    run: never,
    cancel: never,
    exec: never,
    async *logs() {
      yield* [];
    },
  };
  return { engine, seen };
}

function siteOf(engine: Engine): Site {
  return { engine, fleet: new Fleet(engine, () => undefined), domain: 'localhost', port: '', controlPlaneUrl: null };
}

test('a cluster that can not be reached holds up nothing; it joins, is opened anew when it changes, and leaves', async () => {
  let reachable = false;
  const opened: ReturnType<typeof emptyEngine>[] = [];
  const clusters = new Set(['prod']);
  let announce: (name: string) => void = () => undefined;
  const told: string[] = [];
  const engines = new Engines({
    machine: siteOf(emptyEngine('machine', () => true).engine),
    source: {
      names: async () => [...clusters],
      async open(name) {
        if (!clusters.has(name)) return null;
        const one = emptyEngine(name, () => reachable);
        opened.push(one);
        return siteOf(one.engine);
      },
    },
    changes: {
      onCluster: (listener) => {
        announce = listener;
        return () => undefined;
      },
      onReconnected: () => () => undefined,
    },
    log: (message) => told.push(message),
  });
  const environment = { name: 'staging', engine: 'prod', policy: { engine: 'prod' } as never };
  await engines.start();
  onTestFinished(async () => await engines.stop());

  expect(engines.of(environment).fleet.connected).toBe(false);
  reachable = true;
  await waitFor(() => engines.of(environment).fleet.connected, { what: 'it to be connected', seconds: 10 });
  expect(told).toEqual(["prod can't be used: it does not answer"]);

  announce('prod');
  await waitFor(() => opened.length === 2 && opened[0]?.seen.stops === 1, { what: 'it to be opened anew' });
  await waitFor(() => engines.of(environment).fleet.connected, { what: 'it to be connected again', seconds: 10 });

  clusters.delete('prod');
  announce('prod');
  await waitFor(() => engines.named('prod') === null, { what: 'it to leave' });
  expect(opened[1]?.seen.stops).toBe(1);
  expect(() => engines.of(environment)).toThrow('staging asks for the engine prod, which this Slipway does not have.');
});
