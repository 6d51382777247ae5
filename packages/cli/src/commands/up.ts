import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { styleText } from 'node:util';
import { SlipwayError } from '@slipway/app/errors';
import type { Command } from 'commander';
import { contextOf, type Context } from '../context.ts';
import { filesOf } from '../home.ts';
import { startProgress, type Progress } from '../progress.ts';
import { facts } from '../table.ts';
import { wholeNumber } from '../target.ts';
import { prepareHome } from '../up/folders.ts';
import { lastWords, openLog, sizeOf } from '../up/log-file.ts';
import { runningInfo, supervise, type UpInfo, type UpReport } from '../up/supervise.ts';
import { version } from '../version.ts';

interface UpOptions {
  port?: string;
  routerPort?: string;
  example?: boolean;
  detach?: boolean;
}

/** How long another `up`, or a detached one, may take until everything answers. */
const READY_SECONDS = 120;
const POLL_MILLISECONDS = 25;

export function define(command: Command): void {
  command
    .option('--port <port>', 'of the control plane and dashboard (default: 7300, or the next that is free)')
    .option('--router-port <port>', 'where environments are reached (default: 7380, or the next that is free)')
    .option('--example', 'push the bundled example app, with a pull request')
    .option('--detach', 'return when everything answers; `slipway down` stops it')
    .addHelpText(
      'after',
      '\nWithout DATABASE_URL a PostgreSQL of its own is run. Ctrl-C stops everything; the state is kept.',
    )
    .action(async (options: UpOptions) => {
      const context = contextOf(command);
      const progress = startProgress(context.json);
      try {
        await (options.detach === true ? upDetached(context, options, progress) : upHere(context, options, progress));
      } finally {
        progress.end();
      }
    });
}

/** Supervises in this process until Ctrl-C. */
async function upHere(context: Context, options: UpOptions, progress: Progress): Promise<void> {
  const since = performance.now();
  const stop = new AbortController();
  const interrupt = () => {
    if (stop.signal.aborted) leaveAtOnce();
    stop.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);

  const report: UpReport = {
    doing: (text) => progress.now(text),
    note: (text) => {
      progress.end();
      process.stderr.write(`${styleText('gray', 'slipway:', { stream: process.stderr })} ${text}\n`);
    },
    ready: async (info) => {
      progress.end();
      printReady(context, info, `is ready in ${((performance.now() - since) / 1000).toFixed(1)} s`);
      if (options.example === true) await runExample(context, stop.signal);
      if (!context.json) process.stdout.write(`\nStop with Ctrl-C; the state is kept.\n`);
    },
  };
  const outcome = await supervise(
    {
      home: context.home,
      entry: context.entry,
      port: portOption('--port', options.port),
      routerPort: portOption('--router-port', options.routerPort),
      databaseUrl: process.env['DATABASE_URL'] || null,
    },
    report,
    stop.signal,
  );
  if (outcome === 'already-running') await showRunning(context, options, progress);
}

/** Another `up` has this home: says the same as that one did, once everything answers. */
async function showRunning(context: Context, options: UpOptions, progress: Progress): Promise<void> {
  progress.now('waiting for the Slipway that is being started');
  const info = await readyWithin(context.home, () => false);
  progress.end();
  printReady(context, info, 'already runs');
  if (options.example === true) await runExample(context, null);
}

/** The same, in a process of its own that outlives this one. */
async function upDetached(context: Context, options: UpOptions, progress: Progress): Promise<void> {
  const args = ['up', '--home', context.home];
  if (options.port !== undefined) args.push('--port', String(portOption('--port', options.port)));
  if (options.routerPort !== undefined)
    args.push('--router-port', String(portOption('--router-port', options.routerPort)));
  const { note } = prepareHome(context.home);
  if (note !== null && !context.json) process.stderr.write(`slipway: ${note}\n`);
  const log = join(filesOf(context.home).logs, 'up.log');
  const descriptor = openLog(log);
  const logStart = sizeOf(log);
  const child = spawn(process.execPath, [...process.execArgv, context.entry, ...args], {
    detached: true,
    stdio: ['ignore', descriptor, descriptor],
  });
  closeSync(descriptor);
  child.unref();
  progress.now('starting PostgreSQL, the agent and the control plane');
  // It ends early when something fails, or when another `up` has the home already, which is fine.
  const info = await readyWithin(context.home, () => child.exitCode !== null && child.exitCode !== 0).catch(
    (error: unknown) => {
      const said = lastWords(log, logStart)
        .join('\n')
        .replace(/^slipway: /, '');
      throw said === '' ? error : new SlipwayError('transient', said, { hint: `Its log: ${log}` });
    },
  );
  progress.end();
  printReady(context, info, 'is ready');
  if (options.example === true) await runExample(context, null);
  if (!context.json) process.stdout.write(`\nIt goes on in the background. Stop it: slipway down\n`);
}

async function readyWithin(home: string, failed: () => boolean): Promise<UpInfo> {
  const deadline = performance.now() + READY_SECONDS * 1000;
  while (performance.now() < deadline && !failed()) {
    const info = runningInfo(home);
    if (info !== null) return info;
    await delay(POLL_MILLISECONDS);
  }
  throw new SlipwayError('transient', `Slipway did not get ready (home ${home})`, {
    hint: `Its logs are in ${filesOf(home).logs}; stop what is left with slipway down, then try again.`,
  });
}

function printReady(context: Context, info: UpInfo, how: string): void {
  const environments = new URL(info.routerUrl);
  environments.hostname = 'ENVIRONMENT.APP.localhost';
  const text = facts([
    ['Dashboard', `${info.url}/#token=${info.token}`],
    ['Environments', environments.origin.replace('environment.app', 'ENVIRONMENT.APP')],
    ['Home', info.home],
  ]);
  context.print(info, `Slipway ${version} ${how}.\n\n${text}`);
}

/** The example is pushed by a process of its own: what it needs is given back when it is done. */
async function runExample(context: Context, stop: AbortSignal | null): Promise<void> {
  const args = [context.entry, 'example', '--home', context.home, ...(context.json ? ['--json'] : [])];
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', context.json ? 'ignore' : 'inherit', 'inherit'],
    ...(stop === null ? {} : { signal: stop }),
  });
  const code = await new Promise<number | null>((resolve) => {
    child.once('exit', resolve);
    child.once('error', () => resolve(null));
  });
  if (code !== 0 && stop === null) process.exitCode = 1;
}

function portOption(name: string, text: string | undefined): number | null {
  return text === undefined ? null : wholeNumber(name, text, 1, 65_535);
}

function leaveAtOnce(): never {
  process.stderr.write('\nslipway: not everything was stopped. The rest: slipway down\n');
  process.exit(1);
}
