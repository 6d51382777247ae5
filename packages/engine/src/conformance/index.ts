import { afterAll, beforeAll, describe, onTestFinished } from 'vitest';
import { convergeTests } from './converge.ts';
import { jobTests } from './jobs.ts';
import { logTests } from './logs.ts';
import { restartTests } from './restart.ts';
import { rolloutTests } from './rollout.ts';
import { sleepTests } from './sleep.ts';
import { Watcher, webApp, type ConformanceSetup, type World } from './world.ts';

export { hostOf, instancesOf, plan, release, service, Watcher, webApp, worker } from './world.ts';
export type { Answer, ConformanceSetup } from './world.ts';

/**
 * Every sentence of the engine contract as a test. Each engine passes it unchanged.
 *
 * @example
 * engineConformance('machine', async () => ({ engine, artifact, request, restart, dispose }));
 */
export function engineConformance(name: string, setup: () => Promise<ConformanceSetup>): void {
  describe(`engine ${name}`, () => {
    let world: World | null = null;
    const current = (): World => {
      if (world === null) throw new Error('the engine was not set up');
      return world;
    };

    beforeAll(async () => {
      const made = await setup();
      await made.engine.start();
      let count = 0;
      world = {
        ...made,
        watcher: new Watcher(made.engine),
        app: await made.artifact(webApp),
        environment() {
          const name = `conform/e${(count += 1)}`;
          onTestFinished(async () => await made.engine.remove(name));
          return name;
        },
      };
    });

    afterAll(async () => {
      await world?.watcher.stop();
      await world?.engine.stop();
      await world?.dispose();
    });

    describe('converge', () => convergeTests(current));
    describe('rollout', () => rolloutTests(current));
    describe('sleep', () => sleepTests(current));
    describe('logs and exec', () => logTests(current));
    describe('jobs', () => jobTests(current));
    describe('restart of the engine', () => restartTests(current));
  });
}
