import { mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { SlipwayError } from '@slipway/app/errors';
import type { Command } from 'commander';
import { Client } from '../client.ts';
import { contextOf } from '../context.ts';
import { filesOf } from '../home.ts';
import { writeSecret } from '../secret-file.ts';

export function define(command: Command): void {
  command
    .argument('<url>', 'address of the control plane, e.g. https://slipway.example.com')
    .option('--token <token>', 'its token; better give it on stdin, where no process list shows it')
    .action(async (address: string, options: { token?: string }) => {
      const context = contextOf(command);
      const url = serverUrl(address);
      const token = options.token ?? (await readToken());
      const me = await new Client({ url, token }).get<{ name: string; role: string }>('/api/me');
      mkdirSync(context.home, { recursive: true });
      writeSecret(filesOf(context.home).login, `${JSON.stringify({ url, token })}\n`);
      context.print({ url, ...me }, `Logged in to ${url} as ${me.name} (${me.role}). Undo it: slipway logout`);
    });
}

function serverUrl(address: string): string {
  const url = URL.parse(address);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new SlipwayError('mistake', `'${address}' is no address of a control plane`, {
      hint: 'Give it with its scheme: slipway login https://slipway.example.com',
    });
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
}

/** From a pipe, or typed without showing it. */
async function readToken(): Promise<string> {
  const token = (process.stdin.isTTY ? await promptHidden('Token: ') : await text(process.stdin)).trim();
  if (token === '') {
    throw new SlipwayError('mistake', 'no token was given', {
      hint: 'Type it when asked, or pipe it: slipway login URL < token-file. An administrator makes one: slipway token create NAME --role ROLE',
    });
  }
  return token;
}

async function promptHidden(question: string): Promise<string> {
  process.stderr.write(question);
  // No output: what is typed is not shown.
  const lines = createInterface({ input: process.stdin, terminal: true });
  lines.on('SIGINT', () => process.exit(130));
  for await (const line of lines) {
    process.stderr.write('\n');
    return line;
  }
  return '';
}
