import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SlipwayError } from '@slipway/app';
import type { Failure, FailureCode, JobResult, JobRun, LogLine } from '@slipway/engine';
import { endTree, isRunning, killLeftovers, leaderOf, readStat, signal } from '@slipway/queue/processes';
import { boundedBy } from './clock.ts';
import { isDiskFull, readJson, writeWhole } from './files.ts';
import type { Host } from './host.ts';
import { launch, ownFolder, sealFolder, sealIfOpen } from './launch.ts';
import { instanceMark, markVariable } from './mark.ts';
import { prepareFolder, processFolder } from './process-folder.ts';
import { readOutput, type Output } from './output.ts';
import { blockedAt } from './user.ts';
import { messageOf } from './thrown.ts';

/** Milliseconds between SIGTERM and SIGKILL of a job that ran too long or was cancelled. */
const graceMs = 10_000;
const keptResults = 1000;
const keptFor = 24 * 3600 * 1000;

/**
 * The shell that runs a job's command and writes its exit code down, so that an agent that was restarted meanwhile knows it. It lives
 * through the SIGTERM that its group gets (a handler, unlike an ignored signal, is not inherited by the command).
 */
const shim = 'trap : TERM INT HUP; /bin/sh -c "$1"; code=$?; echo "$code" >"$2"; exit "$code"';

/** What outlives the agent, while the job runs. */
interface JobRecord {
  job: JobRun;
  startedAt: number;
  pid: number | null;
  startTime: number | null;
  /** Why it is being ended, once it is. */
  ending: 'timeout' | 'cancelled' | 'out-of-memory' | null;
}

interface Running {
  record: JobRecord;
  result: Promise<JobResult>;
  end: (why: 'timeout' | 'cancelled') => Promise<void>;
  leave: () => void;
}

/**
 * Jobs, each run once per id.
 *
 * | what is on disk | what runs | what happens at the start of an agent |
 * | --- | --- | --- |
 * | result.json | nothing | the result is the answer |
 * | job.json    | its process | it is watched again, to the same end |
 * | job.json and exit | nothing | it ended meanwhile: the exit code makes the result |
 * | job.json    | nothing | it never started, or the machine went down with it: `lost` |
 */
export class Jobs {
  readonly #folder: string;
  readonly #host: Host;
  readonly #write: (environment: string, line: LogLine) => void;
  readonly #running = new Map<string, Running>();
  readonly #starting = new Map<string, Promise<Running>>();
  /** Who wants the output of which job; known before it starts, so that no line is missed. */
  readonly #listeners = new Map<string, Set<(line: LogLine) => void>>();

  /** `write` keeps a line in an environment's logs. */
  constructor(host: Host, write: (environment: string, line: LogLine) => void) {
    this.#folder = join(host.folder, 'jobs');
    this.#host = host;
    this.#write = write;
  }

  /** Attaches to what earlier agents began. Resolves when it is known what runs; results follow. */
  async start(): Promise<void> {
    for (const id of existsSync(this.#folder) ? readdirSync(this.#folder) : []) {
      const record = readJson<JobRecord | null>(join(this.#folder, id, 'job.json'), null);
      if (record !== null && this.#stored(id) === null) await this.#adopt(record);
    }
  }

  /** Lets go of running jobs without ending them. */
  leave(): void {
    for (const running of this.#running.values()) running.leave();
    this.#running.clear();
  }

  /** Ends every job that runs for an environment (null: every job). */
  async endAll(environment: string | null): Promise<void> {
    const concerned = [...this.#running.values()].filter(
      ({ record }) => environment === null || record.job.environment === environment,
    );
    await Promise.all(concerned.map((running) => running.end('cancelled')));
  }

  /**
   * Runs a job, attaches to it, or answers with the result it had.
   *
   * @param signal Detaches; the job goes on.
   * @throws {SlipwayError} `mistake` when its folder is not there; `transient` on a full disk.
   */
  async run(job: JobRun, output: (line: LogLine) => void, signal: AbortSignal): Promise<JobResult> {
    const stored = this.#stored(job.id);
    if (stored !== null) return stored;
    const listeners = this.#listeners.getOrInsertComputed(job.id, () => new Set());
    listeners.add(output);
    try {
      const running = await this.#attach(job);
      const detached = new Promise<never>((_, reject) => {
        const detach = (): void => reject(new SlipwayError('transient', `Detached from job ${job.id}; it goes on.`));
        if (signal.aborted) detach();
        signal.addEventListener('abort', detach);
      });
      return await Promise.race([running.result, detached]);
    } finally {
      listeners.delete(output);
      if (listeners.size === 0) this.#listeners.delete(job.id);
    }
  }

  async cancel(id: string): Promise<void> {
    await (this.#running.get(id) ?? (await this.#starting.get(id)))?.end('cancelled');
  }

  async #attach(job: JobRun): Promise<Running> {
    const there = this.#running.get(job.id) ?? this.#starting.get(job.id);
    if (there !== undefined) return await there;
    const starting = this.#launch(job);
    this.#starting.set(job.id, starting);
    try {
      return await starting;
    } finally {
      this.#starting.delete(job.id);
    }
  }

  #stored(id: string): JobResult | null {
    return readJson<JobResult | null>(join(this.#folder, id, 'result.json'), null);
  }

  async #launch(job: JobRun): Promise<Running> {
    const { user } = this.#host;
    const blocked = !existsSync(job.folder)
      ? job.folder
      : user !== null && job.access === 'read-only'
        ? blockedAt(job.folder, user)
        : null;
    if (blocked !== null) {
      throw new SlipwayError(
        'mistake',
        `Job ${job.id} can't run in ${job.folder}: ${blocked} is missing, or closed to the user that jobs run as.`,
      );
    }
    const record: JobRecord = { job, startedAt: this.#host.clock.now(), pid: null, startTime: null, ending: null };
    const folder = join(this.#folder, job.id);
    try {
      if (job.access === 'read-write') await ownFolder(job.folder, user);
      else await sealIfOpen(job.folder, user);
      const paths = await prepareFolder(folder, user);
      await this.#saveRecord(record);
      const launched = launch({
        folder: paths,
        command: ['/bin/sh', '-c', shim, 'sh', job.run, join(paths.home, '.exit')],
        cwd: job.folder,
        environment: {
          PATH: this.#host.path,
          LANG: 'C.UTF-8',
          ...job.variables,
          HOME: paths.home,
          TMPDIR: paths.tmp,
          [markVariable]: this.#markOf(job.id),
        },
        user,
        output: this.#outputOptions(job),
      });
      const { child } = launched;
      const ended = new Promise<number | null>((resolve) => {
        child.once('exit', (code) => resolve(code));
        child.once('error', () => resolve(127));
      });
      record.pid = child.pid ?? null;
      record.startTime = child.pid === undefined ? null : (readStat(child.pid)?.startTime ?? null);
      const running = this.#watch(
        record,
        launched.output,
        () => child.exitCode === null && child.signalCode === null && child.pid !== undefined,
        ended,
      );
      await this.#saveRecord(record);
      return running;
    } catch (error) {
      if (isDiskFull(error)) {
        throw new SlipwayError('transient', `Job ${job.id} could not be started, because the disk is full.`, {
          hint: `Make room on the disk of ${this.#host.folder}, then try again.`,
          cause: error,
        });
      }
      throw error;
    }
  }

  async #adopt(record: JobRecord): Promise<void> {
    const { job } = record;
    if (record.pid === null) {
      // The agent was killed between the start of the process and the note of its pid.
      const leader = await leaderOf(instanceMark(this.#markOf(job.id)));
      record.pid = leader?.pid ?? null;
      record.startTime = leader?.startTime ?? null;
    }
    const { pid, startTime } = record;
    const runs = (): boolean => pid !== null && startTime !== null && isRunning(pid, startTime);
    const paths = processFolder(join(this.#folder, job.id));
    if (!runs()) {
      await killLeftovers(instanceMark(this.#markOf(job.id)), null);
      record.pid = record.startTime = null;
    }
    let output: Output;
    try {
      output = readOutput(paths, this.#outputOptions(job));
    } catch {
      return await rm(join(this.#folder, job.id), { recursive: true, force: true });
    }
    const ended = new Promise<number | null>((resolve) => {
      const look = (): void => (runs() ? void this.#host.clock.after(250, look) : resolve(null));
      look();
    });
    this.#watch(record, output, runs, ended);
  }

  #outputOptions(job: JobRun) {
    return {
      line: (stream: 'stdout' | 'stderr', text: string): void => {
        const line: LogLine = {
          at: this.#host.clock.now(),
          source: job.source ?? job.id,
          instance: job.id,
          release: null,
          stream,
          line: text,
        };
        if (job.environment !== null) this.#write(job.environment, line);
        for (const listener of this.#listeners.get(job.id) ?? []) listener(line);
      },
      flood: (): void => undefined,
    };
  }

  #watch(record: JobRecord, output: Output, runs: () => boolean, ended: Promise<number | null>): Running {
    const { job, pid } = record;
    const { clock, memory } = this.#host;
    const state = { left: false };
    const end = async (why: 'timeout' | 'cancelled' | 'out-of-memory'): Promise<void> => {
      if (!runs()) return void (await result.catch(() => undefined));
      record.ending ??= why;
      // Should the disk be full, only a restarted agent would miss the reason.
      await this.#saveRecord(record).catch(() => undefined);
      if (pid !== null) await endTree(instanceMark(this.#markOf(job.id)), record, runs, graceMs);
      await result.catch(() => undefined);
    };
    const late = record.startedAt + job.timeoutSeconds * 1000 - clock.now();
    const cancelTimeout = clock.after(Math.max(0, late), () => void end('timeout'));
    if (pid !== null && job.memory !== null) {
      const exceeded = (): void => {
        record.ending ??= 'out-of-memory';
        signal({ group: pid }, 'SIGKILL');
      };
      memory.watch(this.#markOf(job.id), { leader: pid, limit: job.memory, exceeded });
    }
    const result = (async () => {
      const code = await ended;
      cancelTimeout();
      memory.forget(this.#markOf(job.id));
      if (state.left) return await new Promise<never>(() => undefined);
      await killLeftovers(instanceMark(this.#markOf(job.id)), record);
      await boundedBy(clock, 500, output.ended);
      return await this.#finish(record, output, code);
    })();
    const leave = (): void => {
      state.left = true;
      cancelTimeout();
      memory.forget(this.#markOf(job.id));
      output.close();
    };
    const running: Running = { record, result, end, leave };
    this.#running.set(job.id, running);
    result.catch((error: unknown) => this.#host.log(`job ${job.id}: ${messageOf(error)}`));
    return running;
  }

  async #finish(record: JobRecord, output: Output, seen: number | null): Promise<JobResult> {
    const { job } = record;
    output.close();
    const code = seen ?? this.#writtenCode(job.id);
    const failure = code === 0 && record.ending === null ? null : this.#failure(record, output, code);
    const result: JobResult = {
      id: job.id,
      outcome: failure === null ? 'succeeded' : 'failed',
      failure,
      lastLines: output.tail(200),
      startedAt: record.startedAt,
      finishedAt: this.#host.clock.now(),
    };
    if (failure === null && job.access === 'read-write') await sealFolder(job.folder);
    const folder = join(this.#folder, job.id);
    try {
      await writeWhole(join(folder, 'result.json'), JSON.stringify(result), 'power-loss');
      // The record holds the job's variables; they are kept no longer than they are needed.
      for (const name of ['job.json', 'home', 'tmp', 'stdout', 'stderr'])
        await rm(join(folder, name), { recursive: true, force: true });
    } catch (error) {
      this.#host.log(
        `The result of job ${job.id} could not be kept (${messageOf(error)}); after a restart of the agent its exit code still tells.`,
      );
    }
    this.#running.delete(job.id);
    await this.#prune();
    return result;
  }

  /** null when the job ended without writing one: it was killed together with its shell. */
  #writtenCode(id: string): number | null {
    try {
      const text = readFileSync(join(processFolder(join(this.#folder, id)).home, '.exit'), 'latin1');
      return /^\d+\n$/.test(text) ? Number(text) : null;
    } catch {
      return null;
    }
  }

  #failure({ job, ending }: JobRecord, output: Output, code: number | null): Failure {
    const make = (failureCode: FailureCode, message: string, signalName: string | null = null): Failure => ({
      code: failureCode,
      message,
      exitCode: code,
      signal: signalName,
      lastLines: output.tail(20),
    });
    if (ending === 'timeout')
      return make(
        'timeout',
        `It ran longer than ${job.timeoutSeconds} s and was ended. Raise its timeout in slipway.yaml, or make it quicker.`,
      );
    if (ending === 'cancelled') return make('cancelled', 'It was ended on request.');
    if (ending === 'out-of-memory')
      return make(
        'out-of-memory',
        `It used more memory than its ${Math.round((job.memory ?? 0) / 1024 / 1024)} MiB and was ended. Raise its memory in slipway.yaml.`,
        'SIGKILL',
      );
    if (code === null)
      return make(
        'lost',
        "It ended without an exit code: it was killed from outside, or the machine went down. Whether its work was done can't be known; look before you run it again.",
      );
    if (code === 126 || code === 127)
      return make(
        'command-missing',
        `The shell could not ${code === 127 ? 'find' : 'execute'} a command in "${job.run}" (exit code ${code}). Check run in slipway.yaml.`,
      );
    // A shell reports the end of its command by a signal as 128 and the signal's number.
    if (code > 128 && code <= 128 + 64)
      return make('crashed', `It was ended by signal ${code - 128}.`, String(code - 128));
    return make('crashed', `It failed with exit code ${code}. Look at its last lines.`);
  }

  /** Whose a process is. Ids of jobs are the same in every Slipway on this computer; folders are not. */
  #markOf(id: string): string {
    return `job:${id} in ${this.#folder}`;
  }

  async #saveRecord(record: JobRecord): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o711 });
    await writeWhole(join(this.#folder, record.job.id, 'job.json'), JSON.stringify(record), 'power-loss');
  }

  /** Keeps the newest results, and none longer than a day. */
  async #prune(): Promise<void> {
    const results = readdirSync(this.#folder)
      .filter((id) => !this.#running.has(id) && !this.#starting.has(id))
      .flatMap((id) => {
        const found = statSync(join(this.#folder, id, 'result.json'), { throwIfNoEntry: false });
        return found === undefined ? [] : [{ id, at: found.mtimeMs }];
      })
      .sort((a, b) => b.at - a.at);
    const oldest = this.#host.clock.now() - keptFor;
    for (const [index, { id, at }] of results.entries()) {
      if (index >= keptResults || at < oldest) await rm(join(this.#folder, id), { recursive: true, force: true });
    }
  }
}

/** Instance ids hold dots between their parts and never begin like this. */
