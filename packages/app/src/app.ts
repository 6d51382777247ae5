/**
 * A validated `slipway.yaml`: every default filled in, every size in plain units. What later issues build on is here from
 * the start, so that a file that is valid today stays valid.
 */
export interface App {
  app: string;
  services: Record<string, Service>;
  workers: Record<string, Worker>;
  jobs: Record<string, Job>;
  checks: Record<string, Check>;
  /** `auto`, or names from the tool catalogue; empty: no tools. */
  tools: 'auto' | string[];
  config: Record<string, string>;
  /** Names of secrets; their values are encrypted in `secrets/<environment>.yaml`. */
  secrets: string[];
  databases: Record<string, Database>;
  environments: Record<string, Environment>;
  kubernetes: Kubernetes;
}

/** CPU in cores, memory in bytes. */
export interface Size {
  cpu: number;
  memory: number;
}

export interface Replicas {
  min: number;
  max: number;
}

export interface Service {
  /** Run once per release in the checkout; null: nothing to build. */
  build: string | null;
  run: string;
  image: string | null;
  port: number | null;
  /** Path that answers 2xx or 3xx when healthy; null: an open port is enough. */
  health: string | null;
  /** Public path prefix; null: internal. Default `/` when the app has one service, else null. */
  route: string | null;
  size: Size;
  replicas: Replicas;
  needs: string[];
  /** Seconds until a new instance must be healthy. */
  start: number;
  /** Seconds between SIGTERM and SIGKILL. */
  stop: number;
}

export interface Lane extends Size {
  /** Seconds one attempt may take. */
  timeout: number;
}

export interface Worker {
  build: string | null;
  run: string;
  /** `per-task`: the command runs once for each task. `kept`: it stays alive and is handed one task after the other. */
  process: 'per-task' | 'kept';
  image: string | null;
  normal: Lane;
  /** null: no fallback lane. */
  fallback: Lane | null;
  /** `auto`: the lanes begin with the sizes written here and follow what is measured. */
  sizes: 'fixed' | 'auto';
  /** Tasks at once, in the normal lane and in the fallback lane. */
  replicas: Replicas;
  /** Seconds in which a backlog should be gone. */
  drain: number;
  /** Tasks per second; null: unlimited. */
  rate: number | null;
  retries: number;
  /** Seconds that results of tasks are kept. */
  keep: number;
  /** Tasks of one key at once; null: any number. */
  keyLimit: number | null;
  stop: number;
}

export interface Job {
  run: string;
  image: string | null;
  /** `by-hand`: only `slipway run`. */
  when: 'before-deploy' | 'schedule' | 'by-hand';
  /** Cron expression, five fields, UTC; null unless `when` is `schedule`. */
  schedule: string | null;
  size: Size;
  /** Seconds. */
  timeout: number;
}

export interface Check {
  run: string;
  /** Seconds. */
  timeout: number;
}

export interface Database {
  engine: 'postgres';
  /** Name of the variable that gets its URL. */
  env: string;
  seed: string | null;
}

/**
 * How commits get into an environment. Exactly one of: a branch, another environment, pull requests.
 *
 * | source | commits come from |
 * | --- | --- |
 * | branch | pushes to `branch` (null: the app's default branch), automatically |
 * | environment | `slipway promote`, from the environment `from` |
 * | pull-requests | one environment for each open pull request |
 */
export interface Environment {
  source: 'branch' | 'environment' | 'pull-requests';
  branch: string | null;
  from: string | null;
  /** A person approves each rollout. */
  approve: boolean;
  /** Removing it needs its name typed. */
  protected: boolean;
  /** Traffic percentages of the new release, ascending, the last 100. */
  traffic: number[];
  /** Seconds between two traffic steps. */
  hold: number;
  /** Host names of its own; empty: `<environment>.<app>.<domain>`. */
  hosts: string[];
  /** Seconds without a push until it is removed; null: never. */
  ttl: number | null;
  /** Seconds without a request until it sleeps; null: never. */
  sleep: number | null;
  /** The largest size that an attempt of a worker may have here, whatever a release declares or measurements ask for. */
  ceiling: Ceiling;
  /** Name of the engine. */
  engine: string;
}

/** Cores and bytes; null: only the machine is a limit. */
export interface Ceiling {
  cpu: number | null;
  memory: number | null;
}

export interface Kubernetes {
  /** Changes to the objects that Slipway makes, in the order they apply. */
  patches: Patch[];
}

export interface Patch {
  /** `name`: of the object, or of the service, worker or job it belongs to; null: all of this kind. */
  target: { kind: string; name: string | null };
  patch: PatchContent;
  /** Where it was written: whether it is allowed is known only when it is applied. */
  place: Place;
}

/** One operation of RFC 6902. */
export interface JsonPatchOperation {
  op: 'add' | 'remove' | 'replace' | 'move' | 'copy' | 'test';
  path: string;
  from?: string;
  value?: unknown;
}

/** A list is a JSON patch, a mapping a strategic merge patch. */
export type PatchContent = JsonPatchOperation[] | Record<string, unknown>;

/** One place of one file. `line` and `column` count from 1. */
export interface Place {
  file: string;
  line: number;
  column: number;
  /** Where in the document, e.g. `services.web.prots`; empty for the whole file. */
  path: string;
}

/** One mistake at one place of one file. */
export interface Problem extends Place {
  /** One sentence: what was found, what was expected, the nearest valid name if there is one. */
  message: string;
}
