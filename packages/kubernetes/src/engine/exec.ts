import { SlipwayError } from '@slipway/app';
import type { ExecIo, ExecRequest } from '@slipway/engine';
import { WebSocket, type RawData } from 'ws';
import { noAnswer, refusal } from '../api/api-error.ts';
import type { ApiClient } from '../api/client.ts';
import { objectPath } from '../api/resources.ts';
import { mappingsAt, valueAt } from '../render/json-value.ts';
import type { Environment } from './environment.ts';

/**
 * Each message begins with a byte for its channel. Version 5 adds the closing of one (`CLOSE` and the channel), by which a command hears the end
 * of its input. https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/4006-transition-spdy-to-websockets
 */
const PROTOCOL = 'v5.channel.k8s.io';
const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3 };
const CLOSE = 255;

/** Runs a command in a ready pod of a service or worker. */
export async function execInPod(
  api: ApiClient,
  environment: Environment,
  { source, command }: ExecRequest,
  io: ExecIo,
): Promise<{ exitCode: number }> {
  const { namespace, pod, container } = target(environment, source);
  const query = new URLSearchParams({ container, stdin: 'true', stdout: 'true', stderr: 'true' });
  for (const word of command) query.append('command', word);
  const url = new URL(
    `${api.access.server.pathname.replace(/\/$/, '')}${objectPath('Pod', namespace, pod)}/exec`,
    api.access.server,
  );
  url.search = query.toString();
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  const socket = new WebSocket(url, [PROTOCOL], await api.upgradeOptions());
  const abort = (): void => socket.terminate();
  io.signal.addEventListener('abort', abort);
  try {
    return await talk(socket, io, command);
  } catch (error) {
    if (io.signal.aborted)
      throw new SlipwayError('transient', 'The command was left, because its caller went away.', { cause: error });
    throw error;
  } finally {
    io.signal.removeEventListener('abort', abort);
    socket.close();
  }
}

function target(
  environment: Environment,
  source: string | null,
): { namespace: string; pod: string; container: string } {
  const { record, decision } = environment;
  const [served] = decision.traffic;
  const releases = [...decision.releases].sort(
    (a, b) => Number(b.number === served?.release) - Number(a.number === served?.release),
  );
  const names = releases.flatMap(({ services, workers }) => [...services, ...workers].map(({ name }) => name));
  const name = source ?? releases[0]?.services[0]?.name ?? null;
  if (name === null || !names.includes(name))
    throw new SlipwayError('not-found', `${environment.name} has no service or worker ${name ?? ''}`, {
      hint: `It has: ${[...new Set(names)].join(', ') || 'none'}.`,
    });
  for (const { number } of releases) {
    const [pod] = environment.readyPods(number, name);
    if (pod?.container !== undefined && pod.container !== null)
      return { namespace: record.namespace, pod: pod.name, container: pod.container.name };
  }
  throw new SlipwayError('transient', `${name} of ${environment.name} has no instance that is ready`);
}

async function talk(socket: WebSocket, io: ExecIo, command: readonly string[]): Promise<{ exitCode: number }> {
  const ended = Promise.withResolvers<{ exitCode: number }>();
  let input: Promise<void> | null = null;
  socket.on('open', () => {
    input = sendInput(socket, io.stdin).catch(() => socket.terminate());
  });
  socket.on('message', (message) => {
    const data = bytesOf(message);
    const content = data.subarray(1);
    if (data[0] === CHANNEL.stdout && content.length > 0) io.stdout(content);
    if (data[0] === CHANNEL.stderr && content.length > 0) io.stderr(content);
    if (data[0] !== CHANNEL.error) return;
    try {
      ended.resolve({ exitCode: exitCode(JSON.parse(content.toString()), command) });
    } catch (error) {
      ended.reject(error);
    }
  });
  socket.on('unexpected-response', (_request, response) => {
    let body = '';
    response.on('data', (chunk: Buffer) => (body += chunk.toString()));
    response.on('end', () => ended.reject(refusal('exec', response.statusCode ?? 500, body)));
  });
  socket.on('error', (error) => ended.reject(noAnswer('exec', error)));
  socket.on('close', () => ended.reject(noAnswer('exec', new Error('the connection was closed'))));
  const result = await ended.promise;
  void input;
  return result;
}

function bytesOf(message: RawData): Buffer {
  if (Array.isArray(message)) return Buffer.concat(message);
  return message instanceof ArrayBuffer ? Buffer.from(message) : message;
}

async function sendInput(socket: WebSocket, input: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const chunk of input) {
    if (socket.readyState !== WebSocket.OPEN) return;
    socket.send(Buffer.concat([Buffer.from([CHANNEL.stdin]), chunk]));
  }
  if (socket.readyState === WebSocket.OPEN) socket.send(Buffer.from([CLOSE, CHANNEL.stdin]));
}

/** The last message is a Status: success, an exit code, or that the command could not be started. */
function exitCode(status: unknown, command: readonly string[]): number {
  if (valueAt(status, 'status') === 'Success') return 0;
  if (valueAt(status, 'reason') === 'NonZeroExitCode') {
    const cause = mappingsAt(status, 'details', 'causes').find(({ reason }) => reason === 'ExitCode');
    return Number(cause?.['message'] ?? 1);
  }
  const told = valueAt(status, 'message');
  throw new SlipwayError(
    'mistake',
    `${command[0] ?? ''} can't be run there: ${typeof told === 'string' ? told : 'it could not be started'}`,
  );
}
