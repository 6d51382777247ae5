import type { App, Environment, Lane, Patch, Place, Service, Size, Worker } from './app.ts';
import type { Path } from './document.ts';
import { normalRoute } from './rules.ts';
import type { AppFile } from './schema.ts';

/** Every default of `slipway.yaml`, in one place. `docs/slipway-yaml.md` lists them for people. */
const SIZE: Size = { cpu: 0.25, memory: 256 * 2 ** 20 };
const START_SECONDS = 60;
const STOP_SECONDS = 30;
const LANE_SECONDS = 60;
const JOB_SECONDS = 600;
const CHECK_SECONDS = 900;
const WORKER_REPLICAS = { min: 0, max: 20 };
const DRAIN_SECONDS = 60;
const RETRIES = 5;
const KEEP_SECONDS = 24 * 3600;
const HOLD_SECONDS = 300;
const PREVIEW_TTL_SECONDS = 72 * 3600;
const PREVIEW_SLEEP_SECONDS = 30 * 60;
const ENGINE = 'machine';

type FileOf<Section extends 'services' | 'workers' | 'environments'> = NonNullable<AppFile[Section]>[string];

/**
 * A validated file to an app with every default filled in.
 * @param defaultBranch What the default `staging` follows; null: whatever the repository's default branch is.
 * @param placeOf Where in the file something was written.
 */
export function withDefaults(file: AppFile, defaultBranch: string | null, placeOf: (path: Path) => Place): App {
  const { tools, ...checks } = file.checks ?? {};
  const services = Object.entries(file.services ?? {});
  return {
    app: file.app,
    services: record(services, (service) => serviceOf(service, services.length === 1)),
    workers: record(Object.entries(file.workers ?? {}), workerOf),
    jobs: record(Object.entries(file.jobs ?? {}), (job) => ({
      run: job.run,
      image: job.image ?? null,
      when: job.schedule === undefined ? (job.when ?? 'by-hand') : 'schedule',
      schedule: job.schedule ?? null,
      size: { cpu: job.size?.cpu ?? SIZE.cpu, memory: job.size?.memory ?? SIZE.memory },
      timeout: job.timeout ?? JOB_SECONDS,
    })),
    checks: record(Object.entries(checks), (check) => ({ run: check.run, timeout: check.timeout ?? CHECK_SECONDS })),
    tools: tools ?? [],
    config: { ...file.config },
    secrets: file.secrets ?? [],
    databases: record(Object.entries(file.databases ?? {}), (database) => ({
      engine: database.engine ?? 'postgres',
      env: database.env,
      seed: database.seed ?? null,
    })),
    environments: environmentsOf(file, defaultBranch),
    kubernetes: { patches: patchesOf(file, placeOf) },
  };
}

function patchesOf(file: AppFile, placeOf: (path: Path) => Place): Patch[] {
  return (file.kubernetes?.patches ?? []).map(({ target, patch }, index) => ({
    target: { kind: target.kind, name: target.name ?? null },
    patch,
    place: placeOf(['kubernetes', 'patches', index]),
  }));
}

function record<From, To>(entries: [string, From][], make: (from: From) => To): Record<string, To> {
  return Object.fromEntries(entries.map(([name, from]) => [name, make(from)]));
}

function serviceOf(service: FileOf<'services'>, only: boolean): Service {
  // `route: null` is an answer (not public), a missing one is a question.
  const route = service.route === undefined && only ? '/' : (service.route ?? null);
  return {
    build: service.build ?? null,
    run: service.run,
    image: service.image ?? null,
    port: service.port ?? null,
    health: service.health ?? null,
    route: route === null ? null : normalRoute(route),
    size: { cpu: service.size?.cpu ?? SIZE.cpu, memory: service.size?.memory ?? SIZE.memory },
    replicas: service.replicas ?? { min: 1, max: 1 },
    needs: service.needs ?? [],
    start: service.start ?? START_SECONDS,
    stop: service.stop ?? STOP_SECONDS,
  };
}

function workerOf(worker: FileOf<'workers'>): Worker {
  const normal: Lane = {
    cpu: worker.normal?.cpu ?? SIZE.cpu,
    memory: worker.normal?.memory ?? SIZE.memory,
    timeout: worker.normal?.timeout ?? LANE_SECONDS,
  };
  const sizes = worker.sizes ?? 'fixed';
  // What is measured may ask for a bigger lane than any that was written.
  const fallback = worker.fallback ?? (sizes === 'auto' ? {} : null);
  return {
    build: worker.build ?? null,
    run: worker.run,
    process: worker.process ?? 'per-task',
    image: worker.image ?? null,
    normal,
    fallback: fallback && {
      cpu: fallback.cpu ?? normal.cpu,
      memory: fallback.memory ?? normal.memory * 4,
      timeout: fallback.timeout ?? normal.timeout * 10,
    },
    sizes,
    replicas: worker.replicas ?? WORKER_REPLICAS,
    drain: worker.drain ?? DRAIN_SECONDS,
    rate: worker.rate ?? null,
    retries: worker.retries ?? RETRIES,
    keep: worker.keep ?? KEEP_SECONDS,
    keyLimit: worker['key-limit'] ?? null,
    stop: worker.stop ?? STOP_SECONDS,
  };
}

function environmentsOf(file: AppFile, defaultBranch: string | null): Record<string, Environment> {
  const entries = Object.entries(file.environments ?? {});
  if (entries.length > 0) return record(entries, environmentOf);
  return {
    staging: { ...environmentOf({}), branch: defaultBranch },
    preview: environmentOf({ 'pull-requests': true }),
  };
}

function environmentOf(environment: FileOf<'environments'>): Environment {
  const previews = environment['pull-requests'] === true;
  const host = environment.host ?? [];
  return {
    source: previews ? 'pull-requests' : environment.from === undefined ? 'branch' : 'environment',
    branch: environment.branch ?? null,
    from: environment.from ?? null,
    approve: environment.approve ?? false,
    protected: environment.protected ?? false,
    traffic: environment.traffic ?? [100],
    hold: environment.hold ?? HOLD_SECONDS,
    hosts: typeof host === 'string' ? [host] : host,
    ttl: environment.ttl === undefined ? (previews ? PREVIEW_TTL_SECONDS : null) : environment.ttl,
    sleep: environment.sleep === undefined ? (previews ? PREVIEW_SLEEP_SECONDS : null) : environment.sleep,
    ceiling: { cpu: environment.ceiling?.cpu ?? null, memory: environment.ceiling?.memory ?? null },
    engine: environment.engine ?? ENGINE,
  };
}
