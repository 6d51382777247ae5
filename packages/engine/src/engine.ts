import type { ObjectChange, Protection } from './changes.ts';
import type { JobResult, JobRun, LogLine } from './job.ts';
import type { Plan } from './plan.ts';
import type { EnvironmentStatus, Observation } from './status.ts';

/**
 * What makes plans true. Every engine passes the conformance suite in `./conformance`, unchanged.
 *
 * An engine never invents state: after a crash the plans it was given and what is found running are enough.
 * A release is given requests only while an instance of each of its routed services is ready; until then the release
 * that had them keeps them, whatever the weights say.
 */
export interface Engine {
  /** Name that `engine:` of an environment refers to, e.g. `machine`. */
  readonly name: string;
  /** What it starts processes from: the artifact of a release, or the images that a plan names. */
  readonly starts: 'artifact' | 'image';

  start(): Promise<void>;
  /** Lets go of the connection; what runs keeps running. Safe to call twice, or before `start`. */
  stop(): Promise<void>;

  /**
   * Accepts a plan durably and begins to make it true; does not wait until it is. The same plan again changes nothing.
   * A newer plan takes over from one still in progress. Returns the status right after acceptance.
   *
   * @throws {SlipwayError} `conflict` when the engine holds a newer generation; `mistake` when the plan can't be true here;
   *   `transient` when the engine can't be reached (try again).
   */
  converge(plan: Plan): Promise<EnvironmentStatus>;

  /** Streams statuses: first every environment there is, then `synced`, then each change. Ends when `signal` aborts or the engine goes away. */
  observe(signal: AbortSignal): AsyncIterable<Observation>;

  /** Stops and deletes everything that carries this environment's owner mark, and nothing else. Resolves when it is gone; fine when there is nothing. */
  remove(environment: string): Promise<void>;

  /**
   * Before fewer instances are planned: these ones, by id, have something to do, so that others are stopped first. Only engines have it on which
   * each lane of a worker has processes of its own.
   */
  spare?(environment: string, instances: readonly string[]): Promise<void>;

  /** What a plan would change, when nothing but it counts; writes nothing. Only engines have it that make objects of plans. */
  diff?(plan: Plan): Promise<ObjectChange[]>;

  /** Tries, in a dry run, to delete what holds an environment. Only engines have it that keep others from it. */
  verifyProtection?(environment: string): Promise<Protection>;

  /** Log lines, oldest first; with `follow` it goes on until `signal` aborts. `source` narrows to one service, worker or job. */
  logs(request: LogRequest, signal: AbortSignal): AsyncIterable<LogLine>;

  /**
   * Runs a command to its end, see {@link JobRun}. Aborting `signal` detaches: the job goes on and can be attached to again.
   * A failing job is a result, not an exception.
   */
  run(job: JobRun, options?: { output?: (line: LogLine) => void; signal?: AbortSignal }): Promise<JobResult>;

  /** Ends a running job (SIGTERM, then SIGKILL); its result says `cancelled`. Fine when it has ended. */
  cancel(jobId: string): Promise<void>;

  /** Runs a command beside an instance of a service or worker, with that instance's variables and folder. */
  exec(request: ExecRequest, io: ExecIo): Promise<{ exitCode: number }>;
}

export interface LogRequest {
  environment: string;
  source: string | null;
  /** How many past lines at most. */
  lines: number;
  follow: boolean;
}

export interface ExecRequest {
  environment: string;
  /** Service or worker; null: the first service. */
  source: string | null;
  /** Program and arguments; no shell in between. */
  command: string[];
}

export interface ExecIo {
  stdin: AsyncIterable<Uint8Array>;
  stdout: (chunk: Uint8Array) => void;
  stderr: (chunk: Uint8Array) => void;
  /** Aborting ends the command. */
  signal: AbortSignal;
}
