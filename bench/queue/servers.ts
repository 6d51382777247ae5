import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { EmbeddedPostgres } from '@slipway/postgres';
import { Client } from 'pg';
import { freePort } from '../free-port.ts';
import { CannotMeasure, progress } from '../measure.ts';
import type { ContenderName } from './contender.ts';

/**
 * One PostgreSQL for all: PostgreSQL's own defaults where Slipway's embedded one is tuned to be small and quiet, memory and log as a server has
 * them, and a commit that returns when it is on disk.
 */
export const postgresSettings: Record<string, string> = {
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  shared_buffers: '512MB',
  max_wal_size: '4GB',
  min_wal_size: '1GB',
  max_connections: '200',
  max_worker_processes: '8',
  wal_writer_delay: '200ms',
  bgwriter_delay: '200ms',
  bgwriter_lru_maxpages: '100',
  autovacuum_naptime: '1min',
  autovacuum_max_workers: '3',
  autovacuum_worker_slots: '3',
};

/**
 * Redis keeps its data as BullMQ's guide for production asks for: an append-only file, written to disk once a second. So a crash of the machine may take a
 * second of tasks from it, and none from PostgreSQL.
 */
const REDIS = ['--appendonly', 'yes', '--appendfsync', 'everysec', '--save', '', '--maxmemory-policy', 'noeviction'];

type Releasers = (() => Promise<void>)[];

/** PostgreSQL and Redis on free ports of the loopback, with all data in one new folder. */
export class Servers {
  readonly #admin: Client;
  readonly #postgresUrl: URL;
  readonly #redisPort: number;

  private constructor(admin: Client, postgresUrl: URL, redisPort: number) {
    this.#admin = admin;
    this.#postgresUrl = postgresUrl;
    this.#redisPort = redisPort;
  }

  /** @param releasers Gets what ends all that was started. */
  static async start(releasers: Releasers): Promise<Servers> {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'slipway-bench-'));
    releasers.push(() => rm(folder, { recursive: true, force: true }));
    await promisify(execFile)('chmod', ['755', folder]); // PostgreSQL runs as another user
    const redisPort = await startRedis(path.join(folder, 'redis'), releasers);

    const port = await freePort();
    const postgres = new EmbeddedPostgres({ folder: path.join(folder, 'postgres'), port, settings: postgresSettings });
    releasers.push(() => postgres.stop());
    await postgres.start();
    const url = new URL(postgres.url);
    url.host = `127.0.0.1:${port}`;
    url.search = '';
    const admin = new Client({ connectionString: url.href });
    await admin.connect();
    releasers.push(() => admin.end());
    return new Servers(admin, url, redisPort);
  }

  /** An empty database for a contender, with what it had before thrown away, and the log of the one before written out. @returns its URL. */
  async fresh(contender: ContenderName): Promise<string> {
    if (contender === 'bullmq_redis') {
      await this.#redis('flushall');
      return `redis://127.0.0.1:${this.#redisPort}`;
    }
    await this.#admin.query(`drop database if exists bench_${contender} with (force)`);
    await this.#admin.query(`create database bench_${contender}`);
    await this.#admin.query('checkpoint');
    return this.#databaseUrl(contender);
  }

  /** After many tasks were added at once: statistics as autovacuum would have them a minute later. */
  async settle(contender: ContenderName): Promise<void> {
    if (contender === 'bullmq_redis') return;
    const client = await this.connect(contender);
    await client.query('vacuum analyze');
    await client.end();
    await this.#admin.query('checkpoint');
  }

  /** A connection of our own to a contender's database. */
  async connect(contender: ContenderName): Promise<Client> {
    const client = new Client({ connectionString: this.#databaseUrl(contender) });
    await client.connect();
    return client;
  }

  #databaseUrl(contender: ContenderName): string {
    const url = new URL(this.#postgresUrl);
    url.pathname = `/bench_${contender}`;
    return url.href;
  }

  async #redis(...command: string[]): Promise<void> {
    await promisify(execFile)('redis-cli', ['-h', '127.0.0.1', '-p', String(this.#redisPort), ...command]);
  }
}

async function startRedis(folder: string, releasers: Releasers): Promise<number> {
  for (const program of ['redis-server', 'redis-cli']) {
    await promisify(execFile)('sh', ['-c', `command -v ${program}`]).catch(() => {
      throw new CannotMeasure(
        `The queue benchmark needs ${program}. On Debian or Ubuntu: apt-get install -y redis-server (as a service it need not run: this starts its own)`,
      );
    });
  }
  await mkdir(folder);
  const port = await freePort();
  const child = spawn('redis-server', ['--bind', '127.0.0.1', '--port', String(port), '--dir', folder, ...REDIS], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const exited = once(child, 'exit');
  releasers.push(async () => {
    child.kill('SIGKILL'); // its data goes with its folder
    await exited;
  });
  for (let tries = 0; tries < 200; tries += 1) {
    if (child.exitCode !== null) throw new Error(`redis-server ended with exit code ${child.exitCode}`);
    const { stdout } = await promisify(execFile)('redis-cli', ['-h', '127.0.0.1', '-p', String(port), 'ping']).catch(
      () => ({ stdout: '' }),
    );
    if (stdout.trim() === 'PONG') return port;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('redis-server did not answer within 10 s');
}

/** Installs the peers from their own lockfile, when they are not there. */
export async function installPeers(): Promise<void> {
  const folder = path.join(import.meta.dirname, 'peers');
  if (existsSync(path.join(folder, 'node_modules', '.package-lock.json'))) return;
  progress('installing the peers (once)');
  await promisify(execFile)('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: folder }).catch(
    (error: unknown) => {
      throw new CannotMeasure(
        `npm ci failed in ${folder}. Check the connection to your npm registry, then run this again. (${String(error)})`,
      );
    },
  );
}
