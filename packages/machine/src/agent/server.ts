import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { SlipwayError } from '@slipway/app';
import { jobRunSchema, planSchema } from '@slipway/engine';
import { z } from 'zod';
import { endExec } from './exec.ts';
import { frame, FrameReader, pieces } from './exec-frames.ts';
import { statusOf, toProblem } from './problem.ts';
import { protectSocket } from './socket-path.ts';
import type { Supervisor } from './supervisor.ts';
import { stackOf } from './thrown.ts';

/** Bytes of the largest body: a plan with many variables stays far below. */
const longestBody = 16 * 1024 * 1024;
/** Bytes an observer may lag behind before its connection is cut; it then observes anew. */
const longestLag = 16 * 1024 * 1024;

export interface AgentHealth {
  pid: number;
  routerPort: number;
  version: string;
  domain: string;
}

interface ServerOptions {
  supervisor: Supervisor;
  health: () => AgentHealth;
  /** Called when every process has been ended on request, and the asker knows. */
  shutDown: () => void;
  log: (message: string) => void;
}

const execSchema = z.object({
  environment: z.string(),
  source: z.string().nullable(),
  command: z.array(z.string()).min(1),
});
const linesSchema = z.coerce.number().int().min(0).max(1_000_000);

/**
 * The agent's HTTP over its unix socket. Whoever can connect is the agent's own user, which is the only authentication.
 *
 * | request | answer |
 * | --- | --- |
 * | GET /healthz | `AgentHealth` |
 * | PUT /plan | the environment's status |
 * | DELETE /environments/APP/ENV | 204 when it is gone |
 * | GET /observe | NDJSON of observations |
 * | GET /logs?environment=&source=&lines=&follow= | NDJSON of lines |
 * | PUT /jobs | NDJSON `{line}`..., last `{result}` or `{problem}` |
 * | DELETE /jobs/ID | 204 when it has ended |
 * | POST /shutdown | 204 when every process has ended; then the agent ends too |
 * | GET /exec?request=JSON, `Upgrade: slipway-exec` | frames, see exec-frames.ts |
 */
export class AgentServer {
  readonly #options: ServerOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#server = createServer({ requestTimeout: 0 }, (request, response) => void this.#answer(request, response));
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('upgrade', (request: IncomingMessage, socket: Duplex) => this.#exec(request, socket));
  }

  async start(path: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(path, resolve);
    });
    protectSocket(path);
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => undefined);
    try {
      await this.#route(request, response);
    } catch (error) {
      const problem = toProblem(error);
      if (problem.kind === 'bug') this.#options.log(`${request.method} ${request.url}: ${stackOf(error)}`);
      if (response.headersSent) response.end(`${JSON.stringify({ problem })}\n`);
      else send(response, statusOf[problem.kind], problem);
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { supervisor } = this.#options;
    const url = new URL(request.url ?? '/', 'http://agent');
    const [first, ...rest] = url.pathname.split('/').slice(1).map(decodeURIComponent);
    switch (`${request.method} ${first}`) {
      case 'GET healthz':
        return send(response, 200, this.#options.health());
      case 'PUT plan':
        return send(response, 200, await supervisor.converge(await body(request, planSchema, 'a plan')));
      case 'DELETE environments':
        await supervisor.remove(rest.join('/'));
        return send(response, 204, null);
      case 'GET observe':
        return this.#observe(response);
      case 'GET logs':
        return await this.#logs(url, response);
      case 'PUT jobs':
        return await this.#job(request, response);
      case 'DELETE jobs':
        await supervisor.cancel(rest.join('/'));
        return send(response, 204, null);
      case 'POST shutdown':
        await supervisor.shutDown();
        response.once('close', () => this.#options.shutDown());
        response.setHeader('connection', 'close');
        return send(response, 204, null);
      default:
        throw new SlipwayError('not-found', `The agent does not know ${request.method} ${url.pathname}.`, {
          hint: 'It may be of another version than the caller; restart the older one.',
        });
    }
  }

  #observe(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    const end = this.#options.supervisor.observe((observation) => {
      response.write(`${JSON.stringify(observation)}\n`);
      if (response.writableLength > longestLag) response.destroy();
    });
    response.once('close', end);
  }

  async #logs(url: URL, response: ServerResponse): Promise<void> {
    const { searchParams } = url;
    const abort = new AbortController();
    response.once('close', () => abort.abort());
    const lines = this.#options.supervisor.logs(
      {
        environment: searchParams.get('environment') ?? '',
        source: searchParams.get('source'),
        lines: linesSchema.parse(searchParams.get('lines') ?? 100),
        follow: searchParams.get('follow') === 'true',
      },
      abort.signal,
    );
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    response.flushHeaders();
    for await (const line of lines) {
      if (response.destroyed) break;
      if (!response.write(`${JSON.stringify(line)}\n`)) await drained(response);
    }
    response.end();
  }

  async #job(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const job = await body(request, jobRunSchema, 'a job');
    const abort = new AbortController();
    response.once('close', () => abort.abort());
    // Headers go with the first line: a job that can't begin is answered with a status.
    const open = (): void => {
      if (!response.headersSent) response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    };
    const result = await this.#options.supervisor.run(
      job,
      (line) => {
        open();
        response.write(`${JSON.stringify({ line })}\n`);
      },
      abort.signal,
    );
    open();
    response.end(`${JSON.stringify({ result })}\n`);
  }

  #exec(request: IncomingMessage, socket: Duplex): void {
    socket.on('error', () => socket.destroy());
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: slipway-exec\r\n\r\n');
    try {
      const asked = new URL(request.url ?? '/', 'http://agent').searchParams.get('request') ?? 'null';
      const child = this.#options.supervisor.exec(execSchema.parse(JSON.parse(asked)));
      const output = (kind: 'stdout' | 'stderr') => (data: Buffer) => {
        for (const piece of pieces(data)) socket.write(frame(kind, piece));
      };
      child.stdout?.on('data', output('stdout'));
      child.stderr?.on('data', output('stderr'));
      child.stdin?.on('error', () => undefined);
      child.once('error', (error) =>
        socket.end(
          frame(
            'error',
            JSON.stringify(
              toProblem(new SlipwayError('mistake', `The command could not be started: ${error.message}.`)),
            ),
          ),
        ),
      );
      child.once('close', (code, name) => {
        // As a shell has it: 128 and the number of the signal.
        const exitCode = code ?? 128 + signalNumber(name);
        socket.end(frame('exit', JSON.stringify({ exitCode })));
      });
      const reader = new FrameReader();
      socket.on('data', (chunk: Buffer) => {
        for (const { data } of reader.read(chunk)) {
          if (data.length === 0) child.stdin?.end();
          else child.stdin?.write(data);
        }
      });
      socket.once('close', () => endExec(child));
    } catch (error) {
      socket.end(frame('error', JSON.stringify(toProblem(error))));
    }
  }
}

const signalNumbers: Partial<Record<NodeJS.Signals, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
};

function signalNumber(name: NodeJS.Signals | null): number {
  return name === null ? 0 : (signalNumbers[name] ?? 0);
}

async function drained(response: ServerResponse): Promise<void> {
  await new Promise<void>((resolve) => {
    response.once('drain', resolve);
    response.once('close', resolve);
  });
}

async function body<T>(request: IncomingMessage, schema: z.ZodType<T>, what: string): Promise<T> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > longestBody) throw new SlipwayError('mistake', `The body is larger than ${longestBody} bytes.`);
    chunks.push(chunk);
  }
  let value: unknown;
  try {
    value = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new SlipwayError('mistake', `The body is not ${what}: it is no JSON.`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  // Paths and expectations only: the values may be secrets.
  const issues = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
  throw new SlipwayError('mistake', `The body is not ${what}: ${issues}`);
}

function send(response: ServerResponse, status: number, value: unknown): void {
  if (value === null) {
    response.writeHead(status).end();
    return;
  }
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}
