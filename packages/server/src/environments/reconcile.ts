import { messageOf } from '@slipway/app';
import type { EnvironmentStatus, FailureCode, InstanceStatus } from '@slipway/engine';
import type { Context } from '../context.ts';
import type { Site } from './engines.ts';
import { environmentColumns, environmentTable, type EnvironmentRow } from '../database/records.ts';
import { row, rows } from '../database/sql.ts';
import { appendEvent } from '../events/append.ts';
import { tellEngine } from '../rollouts/plan.ts';

/**
 * Keeps rows and engines in agreement, in both directions: an engine is told the plans it does not have, and what it reports becomes
 * events. It acts on changes only; a quiet system costs nothing.
 */
export class Reconciler {
  readonly #context: Context;
  /** By `APP/ENVIRONMENT`: what was reported last, so that a change becomes one event. */
  readonly #reported = new Map<string, { failing: Set<string>; notices: Set<string> }>();
  readonly #converging = new Set<string>();
  #off: (() => void)[] = [];
  #work: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(context: Context) {
    this.#context = context;
  }

  async start(): Promise<void> {
    const { engines } = this.#context;
    this.#off = [engines.onJoined((site) => void this.#attach(site))];
    for (const site of engines.all()) await this.#attach(site);
  }

  /** One that leaves is stopped, and tells nothing more. */
  async #attach(site: Site): Promise<void> {
    const { fleet, engine } = site;
    this.#off.push(
      fleet.onChange((name, status) => this.#after(name, () => this.#record(site, name, status))),
      fleet.onSynced(() => this.#after(`plans of ${engine.name}`, () => this.#convergeAll(site))),
    );
    // Before that nothing is known of the engine, and `synced` comes.
    if (fleet.connected) await this.#convergeAll(site);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const off of this.#off) off();
    await this.#work;
  }

  /** Tells an engine every plan it may not have: after a start, and after the engine came back. The same plan again changes nothing. */
  async #convergeAll({ engine, fleet }: Site): Promise<void> {
    const environments = await rows<EnvironmentRow>(
      this.#context.pool,
      `select ${environmentColumns} from ${environmentTable} where environment.removal in ('none', 'waiting') and environment.plan is not null and environment.engine = $1`,
      [engine.name],
    );
    for (const environment of environments) {
      const name = `${environment.app}/${environment.name}`;
      const status = fleet.status(name);
      if (status && status.generation >= Number(environment.generation)) continue;
      await this.#converge(environment);
    }
  }

  async #converge(environment: EnvironmentRow): Promise<void> {
    const name = `${environment.app}/${environment.name}`;
    if (!environment.plan || this.#converging.has(name)) return;
    this.#converging.add(name);
    try {
      await tellEngine(this.#context, environment, environment.plan);
    } catch (error) {
      this.#context.log(`${name}: its engine did not take plan ${environment.generation}: ${messageOf(error)}`);
    } finally {
      this.#converging.delete(name);
    }
  }

  /** One thing after the other, so that events are told in the order in which things happened. */
  #after(what: string, work: () => Promise<void>): void {
    this.#work = this.#work
      .then(async () => {
        if (!this.#stopped) await work();
      })
      .catch((error: unknown) => {
        this.#context.log(`${what}: rows and engine could not be compared: ${messageOf(error)}`);
      });
  }

  async #record(site: Site, name: string, status: EnvironmentStatus | null): Promise<void> {
    const news = this.#news(name, status);
    const [app = '', environmentName = ''] = name.split('/');
    const environment = await row<EnvironmentRow>(
      this.#context.pool,
      `select ${environmentColumns} from ${environmentTable}
       where app.name = $1 and environment.name = $2 and environment.removal <> 'removed'`,
      [app, environmentName],
    );
    if (!environment) {
      if (status) await this.#removeLeftover(site, app, environmentName);
      return;
    }
    // Something of the same name that another engine runs.
    if (environment.engine !== site.engine.name) return;
    this.#context.changes.environmentSeen(environment.id);
    if (status === null) {
      // The engine lost it although it is wanted (its folder was deleted, a new machine): it is told again.
      if (environment.removal === 'none' && environment.plan) await this.#converge(environment);
      return;
    }
    const about = { appId: environment.appId, environmentId: environment.id };
    if (status.activity !== 'waking' && status.activity !== environment.activity) {
      await this.#context.pool.query(`update environment set activity = $2 where id = $1`, [
        environment.id,
        status.activity,
      ]);
      await appendEvent(this.#context.pool, {
        kind: status.activity === 'asleep' ? 'environment.asleep' : 'environment.awake',
        ...about,
        message:
          status.activity === 'asleep'
            ? `${environment.name} sleeps: no request came for ${environment.policy.sleep} s. The next request or task wakes it.`
            : `${environment.name} is awake again.`,
      });
    }
    for (const { id, message, code, kind } of news.failing)
      if (kind === 'worker' && code === 'out-of-memory') await this.#escalate(environment, id, message);
    for (const { instance, message, lastLines } of news.failing)
      await appendEvent(this.#context.pool, {
        kind: 'instance.failing',
        ...about,
        message: `${environment.name}: ${instance} of release ${news.release(instance)} fails: ${message}`,
        data: { instance, lastLines },
      });
    for (const instance of news.recovered)
      await appendEvent(this.#context.pool, {
        kind: 'instance.recovered',
        ...about,
        message: `${environment.name}: ${instance} is ready again.`,
        data: { instance },
      });
    for (const notice of news.notices)
      await appendEvent(this.#context.pool, {
        kind: 'engine.notice',
        ...about,
        message: `${environment.name}: ${notice}`,
      });
  }

  /**
   * A process of a worker ran out of memory as a whole, with the runner in it: nobody else can say that what it worked on needs more. Where runners
   * survive that, they have said it themselves, and hold nothing any more.
   */
  async #escalate({ app, name }: EnvironmentRow, instance: string, message: string): Promise<void> {
    const { kinds, tasks } = this.#context;
    const queues = await kinds.of(app, name);
    await tasks
      .broker()
      .ranOutOfMemory(`${app}/${name}/${instance}`, message, (kind) => queues?.kinds.get(kind) ?? null);
  }

  /**
   * The engine runs an environment that was removed: it was told a plan that was read just before. That it was removed is on record;
   * one that was never heard of is left alone.
   */
  async #removeLeftover({ engine }: Site, app: string, name: string): Promise<void> {
    const removed = await row(
      this.#context.pool,
      `select environment.id from ${environmentTable} where app.name = $1 and environment.name = $2 and environment.engine = $3 limit 1`,
      [app, name, engine.name],
    );
    if (removed) await engine.remove(`${app}/${name}`);
  }

  /** What of a status has not been reported yet. */
  #news(name: string, status: EnvironmentStatus | null) {
    const before = this.#reported.get(name) ?? { failing: new Set<string>(), notices: new Set<string>() };
    const failing = new Set<string>();
    const news: {
      id: string;
      kind: InstanceStatus['kind'];
      code: FailureCode;
      instance: string;
      message: string;
      lastLines: string[];
    }[] = [];
    const recovered: string[] = [];
    const releases = new Map<string, number>();
    for (const instance of status?.instances ?? []) {
      const label = `${instance.name} (${instance.id})`;
      releases.set(label, instance.release);
      if (instance.failure && instance.state !== 'gone') {
        failing.add(label);
        if (!before.failing.has(label))
          news.push({ id: instance.id, kind: instance.kind, instance: label, ...instance.failure });
      } else if (instance.state === 'ready' && before.failing.has(label)) recovered.push(label);
    }
    const notices = new Set(status?.notices ?? []);
    const newNotices = [...notices].filter((notice) => !before.notices.has(notice));
    if (status) this.#reported.set(name, { failing, notices });
    else this.#reported.delete(name);
    return { failing: news, recovered, notices: newNotices, release: (label: string) => releases.get(label) ?? 0 };
  }
}
