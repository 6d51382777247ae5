import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { freePort } from './free-port.ts';
import { CannotMeasure, inTurns, type Measured, median, progress, round3 } from './measure.ts';

/**
 * Requests per second through our router beside nginx as reverse proxy: the same backend (a node:http server that answers 1 KiB), the
 * same load (wrk, 64 keep-alive connections), in turns. Each part is a process of its own; nginx has one worker, as our router is one process.
 */
const ROUNDS = 5;
const SECONDS = 5;
const CONNECTIONS = 64;

export default async function router(): Promise<Measured> {
  for (const [program, packageName] of [
    ['nginx', 'nginx-light'],
    ['wrk', 'wrk'],
  ] as const) {
    const found = await promisify(execFile)('sh', ['-c', `PATH="$PATH:/usr/sbin" command -v ${program}`]).catch(
      () => null,
    );
    if (found === null) {
      throw new CannotMeasure(
        `The router benchmark needs ${program}. On Debian or Ubuntu: apt-get install -y ${packageName}`,
      );
    }
  }
  const releasers: (() => Promise<void>)[] = [];
  try {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'slipway-bench-'));
    releasers.push(() => rm(folder, { recursive: true, force: true }));
    const [backendPort, nginxPort, routerPort] = [await freePort(), await freePort(), await freePort()];

    await writeFile(path.join(folder, 'nginx.conf'), nginxConfig(folder, nginxPort, backendPort));
    const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin` };
    const start = (program: string, args: string[], port: number): Promise<void> => {
      const child = spawn(program, args, { env, stdio: ['ignore', 'ignore', 'inherit'] });
      releasers.push(() => end(child));
      return accepts(port, `${program} ${args.join(' ')}`, child);
    };
    const here = import.meta.dirname;
    await start(process.execPath, [path.join(here, 'router', 'backend.ts'), String(backendPort)], backendPort);
    await start('nginx', ['-c', path.join(folder, 'nginx.conf'), '-e', path.join(folder, 'error.log')], nginxPort);
    await start(
      process.execPath,
      [path.join(here, 'router', 'router.ts'), String(routerPort), String(backendPort)],
      routerPort,
    );

    progress(`warming up, then ${ROUNDS} rounds of ${SECONDS} s each`);
    for (const port of [backendPort, nginxPort, routerPort]) await load(port, 2);
    const values = await inTurns(ROUNDS, {
      direct: () => load(backendPort, SECONDS),
      nginx: () => load(nginxPort, SECONDS),
      slipway: () => load(routerPort, SECONDS),
    });
    // A ratio per round: neighbours in time are held against each other.
    const ratios = values.slipway.map((value, round) => value / (values.nginx[round] ?? Number.NaN));
    return {
      figures: { ratio_to_nginx: round3(median(ratios)) },
      peers: {
        slipway_requests_per_s: round3(median(values.slipway)),
        nginx_requests_per_s: round3(median(values.nginx)),
        direct_requests_per_s: round3(median(values.direct)),
      },
    };
  } finally {
    for (const release of releasers.toReversed()) await release();
  }
}

/** Requests per second. @throws When any of them failed: a fast refusal is no result. */
async function load(port: number, seconds: number): Promise<number> {
  const { stdout } = await promisify(execFile)('wrk', [
    '-t1',
    `-c${CONNECTIONS}`,
    `-d${seconds}s`,
    `http://127.0.0.1:${port}/`,
  ]);
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(`requests failed:\n${stdout}`);
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]);
  if (!(perSecond > 0)) throw new Error(`wrk reported no rate:\n${stdout}`);
  return perSecond;
}

function nginxConfig(folder: string, port: number, backendPort: number): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${folder}/${kind};`)
    .join('\n  ');
  return `worker_processes 1;
daemon off;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 1024; }
http {
  access_log off;
  ${temporary}
  keepalive_requests 1000000000;
  upstream backend {
    server 127.0.0.1:${backendPort};
    keepalive ${CONNECTIONS * 2};
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
    }
  }
}
`;
}

/** Resolves when the program answers on its port. */
async function accepts(port: number, what: string, child: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    if (child.exitCode !== null) throw new Error(`${what} ended with exit code ${child.exitCode} before it listened`);
    const answered = await fetch(`http://127.0.0.1:${port}/`).then(
      (response) => response.arrayBuffer().then(() => true),
      () => false,
    );
    if (answered) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what} did not listen within 10 s`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}
