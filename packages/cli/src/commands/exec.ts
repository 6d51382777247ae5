import { SlipwayError } from '@slipway/app/errors';
import type { Command } from 'commander';
import type { ApiProblem } from '../api.ts';
import { connect } from '../client.ts';
import { contextOf } from '../context.ts';
import { environmentPath, environmentTarget } from '../target.ts';
import { trustedJson } from '../trusted-json.ts';

export function define(command: Command): void {
  command
    .argument('<environment>', 'APP/ENV')
    .argument(
      '[service-and-command...]',
      'the service or worker (the first service when left out), then -- and the command',
    )
    .addHelpText('after', '\nExample:\n  slipway exec shop/staging api -- node -e "console.log(process.env.PORT)"')
    .action(async (what: string, rest: string[]) => {
      const context = contextOf(command);
      const target = environmentTarget(what);
      const { source, program } = splitAtDashes(context.args, rest);
      const query = new URLSearchParams(program.map((part) => ['command', part]));
      if (source !== null) query.set('source', source);
      const client = await connect(context);
      const exitCode = await attach(
        client.webSocket(`${environmentPath(target)}/exec?${query.toString()}`),
        client.url,
      );
      if (context.json) context.print({ exitCode }, '');
      if (exitCode === 0) return;
      process.exitCode = 1;
      if (!context.json) process.stderr.write(`slipway: the command ended with exit code ${exitCode}.\n`);
    });
}

/** What stands before `--` is the service, what stands after it the command. */
function splitAtDashes(args: string[], rest: string[]): { source: string | null; program: string[] } {
  const dashes = args.indexOf('--');
  const length = dashes === -1 ? 0 : args.length - dashes - 1;
  const program = rest.slice(rest.length - length);
  const before = rest.slice(0, rest.length - length);
  if (length === 0 || before.length > 1) {
    throw new SlipwayError('mistake', 'exec needs the command after two dashes', {
      hint: 'Write: slipway exec APP/ENV [SERVICE] -- COMMAND...',
    });
  }
  return { source: before[0] ?? null, program };
}

/**
 * Carries stdin, stdout and stderr until the command has ended.
 *
 * @returns Its exit code.
 * @throws {SlipwayError} what the control plane said, or `transient` when the connection was lost.
 */
function attach(socket: WebSocket, url: string): Promise<number> {
  socket.binaryType = 'arraybuffer';
  return new Promise<number>((resolve, reject) => {
    socket.onopen = () => {
      process.stdin.on('data', (chunk: Buffer) => socket.send(new Uint8Array(chunk)));
      process.stdin.on('end', () => socket.send(new Uint8Array()));
    };
    socket.onmessage = ({ data }) => {
      if (typeof data !== 'string') {
        const bytes = new Uint8Array(data);
        (bytes[0] === 2 ? process.stderr : process.stdout).write(bytes.subarray(1));
        return;
      }
      const last = trustedJson<{ exitCode: number } | { error: ApiProblem }>(data);
      if ('exitCode' in last) resolve(last.exitCode);
      else
        reject(
          new SlipwayError(
            last.error.kind,
            last.error.title,
            last.error.hint === null ? {} : { hint: last.error.hint },
          ),
        );
    };
    socket.onclose = ({ reason }) => {
      reject(
        new SlipwayError(
          'transient',
          `the connection to ${url} ended before the command did${reason === '' ? '' : ` (${reason})`}`,
          {
            hint: 'The command was ended with it. See that the environment exists (slipway status), then run it again.',
          },
        ),
      );
    };
    socket.onerror = () => {};
  });
}
