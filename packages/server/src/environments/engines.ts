import { EventEmitter } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf, SlipwayError } from '@slipway/app';
import type { Engine } from '@slipway/engine';
import type { EnvironmentRow } from '../database/records.ts';
import type { Changes } from '../events/changes.ts';
import type { Fleet } from './fleet.ts';

/** An engine, and what it sees. */
export interface Site {
  engine: Engine;
  fleet: Fleet;
  /** Environments are reached as `<environment>.<app>.<domain>` there. */
  domain: string;
  /** What stands behind the host in URLs of environments, e.g. `:8080`; empty for port 80. */
  port: string;
  /** Where its processes reach the control plane; null: as it is written down for this machine. */
  controlPlaneUrl: string | null;
}

/** What tells of engines that come and go while the control plane runs. */
export interface EngineSource {
  /** Opens the engine of this name anew; null: there is none any more. Never waits for the engine itself. */
  open(name: string): Promise<Site | null>;
  names(): Promise<string[]>;
}

export interface EnginesOptions {
  machine: Site;
  /** Clusters. */
  source: EngineSource;
  changes: Pick<Changes, 'onCluster' | 'onReconnected'>;
  log: (message: string) => void;
}

/**
 * The engines that environments may name: the machine, which also runs builds and checks, and one for each cluster that was added. A cluster that
 * is added, changed or taken away is heard of at once, by every control plane on the database.
 */
export class Engines {
  readonly machine: Site;
  readonly #options: EnginesOptions;
  readonly #sites = new Map<string, Site>();
  readonly #emitter = new EventEmitter<{ joined: [Site]; left: [Site] }>();
  readonly #over = new AbortController();
  #work: Promise<void> = Promise.resolve();
  #off: (() => void)[] = [];

  constructor(options: EnginesOptions) {
    this.#options = options;
    this.machine = options.machine;
    this.#sites.set(this.machine.engine.name, this.machine);
  }

  async start(): Promise<void> {
    const { source, changes } = this.#options;
    await this.machine.engine.start();
    await this.machine.fleet.start();
    this.#off = [
      changes.onCluster((name) => this.#reopen(name)),
      // What was announced meanwhile was not heard.
      changes.onReconnected(() => this.#reopenAll()),
    ];
    for (const name of await source.names()) this.#reopen(name);
    await this.#work;
  }

  async stop(): Promise<void> {
    for (const off of this.#off) off();
    this.#over.abort();
    await this.#work;
    await Promise.all([...this.#sites.values()].map(stopSite));
  }

  /** The engine that runs an environment, or that will when nothing of it runs yet. @throws {SlipwayError} `mistake` when there is none of this name. */
  of(environment: Pick<EnvironmentRow, 'name' | 'policy' | 'engine'>): Site {
    const name = engineName(environment);
    const site = this.#sites.get(name);
    if (site !== undefined) return site;
    throw new SlipwayError(
      'mistake',
      `${environment.name} asks for the engine ${name}, which this Slipway does not have.`,
      {
        hint: `It has ${[...this.#sites.keys()].join(', ')}. Name one of these as \`engine:\` of the environment, or add a cluster: slipway cluster add ${name} --kubeconfig FILE`,
      },
    );
  }

  /** The engine of this name, or null. */
  named(name: string): Site | null {
    return this.#sites.get(name) ?? null;
  }

  all(): Site[] {
    return [...this.#sites.values()];
  }

  /** Calls `listener` with each engine that joins from now on. Returns the function that ends it. */
  onJoined(listener: (site: Site) => void): () => void {
    this.#emitter.on('joined', listener);
    return () => this.#emitter.off('joined', listener);
  }

  /** Calls `listener` with each engine that left. Returns the function that ends it. */
  onLeft(listener: (site: Site) => void): () => void {
    this.#emitter.on('left', listener);
    return () => this.#emitter.off('left', listener);
  }

  #reopenAll(): void {
    this.#after('clusters', async () => {
      const names = new Set([...this.#sites.keys(), ...(await this.#options.source.names())]);
      for (const name of names) this.#reopen(name);
    });
  }

  #reopen(name: string): void {
    if (name === this.machine.engine.name) return;
    this.#after(name, async () => {
      const site = await this.#options.source.open(name);
      const before = this.#sites.get(name);
      this.#sites.delete(name);
      if (before !== undefined) {
        this.#emitter.emit('left', before);
        await stopSite(before);
      }
      if (site === null || this.#over.signal.aborted) return;
      this.#sites.set(name, site);
      void this.#startWhenReachable(site);
      await site.fleet.start();
      this.#emitter.emit('joined', site);
    });
  }

  /** A cluster that can't be reached holds up nothing else: it is tried again until it can, or is taken away. */
  async #startWhenReachable({ engine }: Site): Promise<void> {
    let told = '';
    for (let pause = 500; this.#sites.get(engine.name)?.engine === engine; pause = Math.min(pause * 2, 30_000)) {
      try {
        await engine.start();
        return;
      } catch (error) {
        if (messageOf(error) !== told) this.#options.log(`${engine.name} can't be used: ${messageOf(error)}`);
        told = messageOf(error);
      }
      await delay(pause, undefined, { signal: this.#over.signal }).catch(() => undefined);
      if (this.#over.signal.aborted) return;
    }
  }

  /** One after the other, so that what was announced last is what counts. */
  #after(what: string, work: () => Promise<void>): void {
    this.#work = this.#work
      .then(work)
      .catch((error: unknown) => this.#options.log(`engine ${what} could not be opened: ${messageOf(error)}`));
  }
}

/** Once something of an environment runs, it stays where it is until it is removed, whatever slipway.yaml says. */
export function engineName({ engine, policy }: Pick<EnvironmentRow, 'policy' | 'engine'>): string {
  return engine ?? policy.engine;
}

async function stopSite({ engine, fleet }: Site): Promise<void> {
  await fleet.stop();
  await engine.stop();
}
