import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import type { Duplex } from 'node:stream';
import { SlipwayError } from '@slipway/app';
import type {
  Engine,
  EnvironmentStatus,
  ExecIo,
  ExecRequest,
  JobResult,
  JobRun,
  LogLine,
  LogRequest,
  Observation,
  Plan,
} from '@slipway/engine';
import { frame, FrameReader, pieces } from './agent/exec-frames.ts';
import { fromProblem, type Problem } from './agent/problem.ts';
import type { AgentHealth } from './agent/server.ts';
import { socketPath } from './agent/socket-path.ts';
import { codeOf } from './agent/thrown.ts';

export interface MachineEngineOptions {
  /** The agent's folder. */
  folder: string;
  /** Default `machine`. */
  name?: string;
}

/** Milliseconds a job's caller goes on asking while the agent is away; the job itself goes on meanwhile. */
const jobPatience = 60_000;

/**
 * The machine engine: a client of the agent that keeps `folder`. It holds no state, so it may be made before the agent runs, and
 * outlives its restarts; while the agent is away, calls throw `transient`.
 *
 * @example
 * const engine = createMachineEngine({ folder: '/var/lib/slipway/agent' });
 * await engine.start();
 * await engine.converge(plan);
 */
export function createMachineEngine(options: MachineEngineOptions): MachineEngine {
  return new MachineEngine(options);
}

export class MachineEngine implements Engine {
  readonly starts = 'artifact';
  readonly name: string;
  readonly #folder: string;
  #connections = new HttpAgent({ keepAlive: true });
  #open = new Set<AbortController>();

  constructor(options: MachineEngineOptions) {
    this.name = options.name ?? 'machine';
    this.#folder = options.folder;
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {
    for (const abort of this.#open) abort.abort();
    this.#connections.destroy();
  }

  /** Who answers at the folder's socket. @throws {SlipwayError} `transient` when nobody does. */
  async health(): Promise<AgentHealth> {
    return await this.#json<AgentHealth>('GET', '/healthz');
  }

  /** Ends every process of every environment, then the agent. Plans stay. Fine when there is no agent. */
  async shutDown(): Promise<void> {
    try {
      await this.#json('POST', '/shutdown');
    } catch (error) {
      if (!(error instanceof SlipwayError && error.kind === 'transient')) throw error;
    }
  }

  async converge(plan: Plan): Promise<EnvironmentStatus> {
    return await this.#json<EnvironmentStatus>('PUT', '/plan', plan);
  }

  async remove(environment: string): Promise<void> {
    await this.#json('DELETE', `/environments/${environment}`);
  }

  async *observe(signal: AbortSignal): AsyncGenerator<Observation> {
    yield* this.#lines<Observation>('GET', '/observe', null, signal);
  }

  async *logs(request: LogRequest, signal: AbortSignal): AsyncGenerator<LogLine> {
    const query = new URLSearchParams({
      environment: request.environment,
      lines: String(request.lines),
      follow: String(request.follow),
      ...(request.source === null ? {} : { source: request.source }),
    });
    for await (const line of this.#lines<LogLine | { problem: Problem }>(
      'GET',
      `/logs?${query.toString()}`,
      null,
      signal,
    )) {
      if ('problem' in line) throw fromProblem(line.problem);
      yield line;
    }
  }

  /** While the agent restarts it asks again, for up to a minute: the id makes that safe. */
  async run(job: JobRun, options: { output?: (line: LogLine) => void; signal?: AbortSignal } = {}): Promise<JobResult> {
    const signal = options.signal ?? new AbortController().signal;
    let lostSince: number | null = null;
    for (;;) {
      try {
        return await this.#runOnce(
          job,
          (line) => {
            lostSince = null;
            options.output?.(line);
          },
          signal,
        );
      } catch (error) {
        const away = error instanceof SlipwayError && error.cause instanceof AgentAway && !signal.aborted;
        if (!away) throw error;
        lostSince ??= Date.now();
        if (Date.now() - lostSince > jobPatience) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  async #runOnce(job: JobRun, output: (line: LogLine) => void, signal: AbortSignal): Promise<JobResult> {
    for await (const item of this.#lines<JobItem>('PUT', '/jobs', job, signal)) {
      if ('line' in item) output(item.line);
      else if ('result' in item) return item.result;
      else throw fromProblem(item.problem);
    }
    if (signal.aborted) throw new SlipwayError('transient', `Detached from job ${job.id}; it goes on.`);
    throw this.#away(new Error('the connection was closed'));
  }

  async cancel(jobId: string): Promise<void> {
    await this.#json('DELETE', `/jobs/${jobId}`);
  }

  async exec(request: ExecRequest, io: ExecIo): Promise<{ exitCode: number }> {
    const socket = await this.#upgrade(`/exec?request=${encodeURIComponent(JSON.stringify(request))}`);
    const abort = (): void => void socket.destroy();
    io.signal.addEventListener('abort', abort);
    try {
      // Input that outlives the command is nobody's; a closed connection ends the loop.
      void sendInput(socket, io.stdin).catch(() => socket.destroy());
      const reader = new FrameReader();
      for await (const chunk of socket as AsyncIterable<Buffer>) {
        for (const { kind, data } of reader.read(chunk)) {
          if (kind === 'stdout') io.stdout(data);
          if (kind === 'stderr') io.stderr(data);
          if (kind === 'error') throw thrownBy(data.toString());
          if (kind === 'exit') {
            const exit: { exitCode: number } = JSON.parse(data.toString());
            return exit;
          }
        }
      }
      throw this.#away(new Error('the connection was closed'));
    } catch (error) {
      if (io.signal.aborted)
        throw new SlipwayError('transient', 'The command was ended, because its caller went away.', { cause: error });
      throw error;
    } finally {
      io.signal.removeEventListener('abort', abort);
      socket.destroy();
    }
  }

  async #upgrade(path: string): Promise<Duplex> {
    return await new Promise((resolve, reject) => {
      const outgoing = httpRequest({
        socketPath: socketPath(this.#folder),
        path,
        headers: { connection: 'Upgrade', upgrade: 'slipway-exec' },
      });
      outgoing.once('upgrade', (_response, socket: Duplex, head: Buffer) => {
        if (head.length > 0) socket.unshift(head);
        socket.on('error', () => undefined);
        resolve(socket);
      });
      outgoing.once('error', (error) => reject(this.#away(error)));
      outgoing.end();
    });
  }

  async #json<T>(method: string, path: string, value: unknown = null): Promise<T> {
    const response = await this.#request(method, path, value, null, this.#connections);
    const text = await this.#text(response);
    const answer: T = JSON.parse(text === '' ? 'null' : text);
    return answer;
  }

  async #text(response: IncomingMessage): Promise<string> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
    } catch (error) {
      throw this.#away(error);
    }
    return Buffer.concat(chunks).toString('utf8');
  }

  /** Ends when the signal aborts or the connection breaks. */
  async *#lines<T>(method: string, path: string, value: unknown, signal: AbortSignal): AsyncGenerator<T> {
    if (signal.aborted) return;
    const abort = new AbortController();
    const cut = (): void => abort.abort();
    this.#open.add(abort);
    signal.addEventListener('abort', cut);
    try {
      // A connection of its own: a stream would keep others waiting for it.
      const response = await this.#request(method, path, value, abort.signal, false);
      yield* readLines<T>(response);
    } catch (error) {
      // A connection that breaks is how the agent's end looks from here.
      if (!abort.signal.aborted && codeOf(error) !== 'ECONNRESET') throw error;
    } finally {
      signal.removeEventListener('abort', cut);
      this.#open.delete(abort);
      abort.abort();
    }
  }

  async #request(
    method: string,
    path: string,
    value: unknown,
    signal: AbortSignal | null,
    agent: HttpAgent | false,
  ): Promise<IncomingMessage> {
    const text = value === null ? null : JSON.stringify(value);
    const options: RequestOptions = {
      socketPath: socketPath(this.#folder),
      method,
      path,
      agent,
      headers: text === null ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
      ...(signal === null ? {} : { signal }),
    };
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = httpRequest(options, resolve);
      outgoing.on('error', (error) => reject(this.#away(error)));
      outgoing.end(text ?? undefined);
    });
    if ((response.statusCode ?? 500) < 400) return response;
    throw thrownBy(await this.#text(response));
  }

  #away(cause: unknown): SlipwayError {
    const reason = cause instanceof Error ? (codeOf(cause) ?? cause.message) : String(cause);
    return new SlipwayError(
      'transient',
      `The agent of ${this.#folder} can't be reached (${reason}). Apps and the router go on without the control plane only while it runs.`,
      {
        hint: 'Start it with "slipway agent" or "slipway up"; it is asked again by itself.',
        cause: new AgentAway(reason),
      },
    );
  }
}

function thrownBy(text: string): Error {
  const problem: Problem = JSON.parse(text);
  return fromProblem(problem);
}

type JobItem = { line: LogLine } | { result: JobResult } | { problem: Problem };

/** The cause of an error that says nothing about the request: it may or may not have arrived. */
class AgentAway extends Error {}

async function sendInput(socket: Duplex, input: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const chunk of input) {
    for (const piece of pieces(chunk)) {
      if (socket.destroyed) return;
      if (!socket.write(frame('stdin', piece)))
        await new Promise<void>((resolve) => {
          socket.once('drain', resolve);
          socket.once('close', resolve);
        });
    }
  }
  if (!socket.destroyed) socket.write(frame('stdin', new Uint8Array()));
}

async function* readLines<T>(response: IncomingMessage): AsyncGenerator<T> {
  response.setEncoding('utf8');
  let rest = '';
  for await (const chunk of response as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    // Without its newline it is not whole: the agent went away in the middle of it.
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const value: T = JSON.parse(line);
      yield value;
    }
  }
}
